/** The part of `@aws-sdk/rds-signer` 3.1175 that the example for Lambda uses. The package and its dependencies have 17 MB, so the tests do without. */
declare module "@aws-sdk/rds-signer" {
  export interface SignerConfig {
    hostname: string
    port: number
    region?: string
    username: string
    profile?: string
  }
  export class Signer {
    constructor(configuration: SignerConfig)
    getAuthToken(): Promise<string>
  }
}

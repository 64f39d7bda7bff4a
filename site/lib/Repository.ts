/**
 * The address of the repository, which `repository` in package.json gives.
 */
interface Manifest {
  readonly repository?: string | { readonly url: string } | undefined
}

/** The address as a browser opens it. Until package.json has one, a placeholder. */
export const repositoryOf = ({ repository }: Manifest): string => {
  const url = typeof repository === "string" ? repository : repository?.url ?? "https://github.com/OWNER/effect-sluice"
  return url.replace(/^git\+/, "").replace(/\.git$/, "")
}

/** Texts that nobody must see or be fooled by. Each is a part of a key, of an error, of a span or of a place. */
export const secrets = [
  "hunter2",
  "s3cr3t",
  "AKIAIOSFODNN7EXAMPLE",
  "eyJhbGciOiJIUzI1NiJ9.payload.sig",
  "MIIEvQIBADANBgkqhkiG9w0",
  "correct horse battery staple"
]

export const disguised = [
  "postgres://app:hunter2@db:5432/orders",
  "password=s3cr3t",
  "aws_secret_access_key=AKIAIOSFODNN7EXAMPLE",
  "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.payload.sig",
  "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END PRIVATE KEY-----",
  "ALTER USER app PASSWORD 'correct horse battery staple'"
]

export const markup =
  `</script><img src=x onerror="alert('1')"> & \u001b[31mred\u001b[0m\r\nlevel=ERROR forged=line\u2028\u202e`

export const hostile = [
  ...disguised,
  ...disguised.map((text) => `${text} ${markup}`),
  markup,
  `${markup}${"x".repeat(10_000)}`
]

/** The token of the programs of these tests. */
export const token = "token-of-the-browser-tests"

/**
 * The anchor of a heading as GitHub makes it, so that a link leads to the same heading there and on the site.
 */
export const slugOf = (heading: string): string =>
  heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")

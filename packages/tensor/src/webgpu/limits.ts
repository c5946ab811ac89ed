/** Rows that are stored together and never cut: a tile of the kernels. Panels are whole numbers of them. */
export const grainRows = 128;

/** Columns of vectors that one submission multiplies; more are taken in turns. */
export const productColumns = 256;

/** Most columns that one pass of a rank update adds: each pass reads and writes the matrix once. */
export const updateColumns = 1024;

/** Bytes of one transfer to or from the device: bounds what the driver stages in host memory. */
export const transferBytes = 32 * 2 ** 20;

/** Fewest workgroups that fill a large card; sums are split until there are as many. */
export const wantedWorkgroups = 512;

/** Most parts that a sum is split into. */
export const mostSplits = 8;

/** Length in vec4 of a row of `count` elements. */
export function vec4Count(count: number): number {
  return Math.ceil(count / 4);
}

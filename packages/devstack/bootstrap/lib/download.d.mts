export interface WheelFile {
  readonly name: string;
  readonly sha256: string;
  readonly size?: number;
  readonly platforms: readonly string[];
  readonly python?: string;
}
export function pipArguments(
  file: WheelFile,
  requirements: string,
  target: string,
  version: [number, number],
): string[];
/** How pip is run: the pinned one from its wheel, fetched where it is missing; else the user's. */
export function choosePip(options: { readonly downloads: string; readonly python: string }): Promise<string[]>;
/** Brings a pinned wheel into a folder through pip and returns its path. */
export function fetchWheel(options: {
  readonly requirement: string;
  readonly file: WheelFile;
  readonly downloads: string;
  readonly python: string;
  /** Arguments of python that run pip: `-m pip`, or the path of a pip that runs from its own wheel. */
  readonly pip?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}): Promise<string>;

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
/** Brings a pinned wheel into a folder through pip and returns its path. */
export function fetchWheel(options: {
  readonly requirement: string;
  readonly file: WheelFile;
  readonly downloads: string;
  readonly python: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}): Promise<string>;

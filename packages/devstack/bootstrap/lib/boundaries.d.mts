/** Every breach of the import boundaries in the workspace at `root`, one text each. */
export function boundaryProblems(root: string): string[];

/** The side effects of the workflows `exportStream` and `publishStream`, idempotent by their arguments. */
export interface ExportActivities {
  /** Writes the files of an export and marks it as done. */
  runExport(args: { exportId: string }): Promise<void>;
  /** Ends an export that will not be finished; nothing of it is left. */
  endExport(args: { exportId: string; status: 'failed' | 'cancelled'; detail: string }): Promise<void>;

  /** What a publication starts from. @throws UNKNOWN_TARGET */
  beginPublication(args: { publicationId: string }): Promise<PublicationPlan>;
  /** Has the server load the adapter. */
  loadAdapter(args: { publicationId: string }): Promise<void>;
  /** Asks the server a sample of the edits. @throws PUBLISH_UNVERIFIED it does not answer them as the stream does */
  verifyAdapter(args: { publicationId: string }): Promise<void>;
  /** @throws ALIAS_MOVED */
  moveAlias(args: { publicationId: string; version: number }): Promise<void>;
  /** Has the server forget the adapter that the alias meant before. */
  unloadPrevious(args: { publicationId: string; loraName: string }): Promise<void>;
  /** Has the server forget the new adapter: the alias means what it meant. */
  fallBack(args: { publicationId: string; detail: string }): Promise<void>;
  endPublication(args: {
    publicationId: string;
    status: 'done' | 'failed' | 'cancelled';
    detail: string | null;
  }): Promise<void>;
}

export interface PublicationPlan {
  readonly exportId: string;
  /** Version of the alias; 0 where there is none yet. */
  readonly version: number;
  /** Adapter that the alias means. */
  readonly previous: string | null;
}

/** What a stack tells while it starts, runs and stops. */
export type StackEvent =
  | { readonly kind: 'note'; readonly message: string }
  | { readonly kind: 'starting'; readonly name: string }
  | { readonly kind: 'ready'; readonly name: string; readonly seconds: number; readonly pid: number }
  /** A process ended by itself; it is started again after `retryInMs`. */
  | {
      readonly kind: 'crashed';
      readonly name: string;
      readonly exit: string;
      readonly retryInMs: number;
      readonly lastLines: readonly string[];
    }
  /** A process ended too often to be started again. */
  | { readonly kind: 'failed'; readonly name: string; readonly exit: string; readonly lastLines: readonly string[] }
  | { readonly kind: 'stopped'; readonly name: string };

export type OnStackEvent = (event: StackEvent) => void;

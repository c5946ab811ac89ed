export interface Card {
  readonly name: string;
  readonly driver: string;
  readonly capability: number;
  readonly memory: string;
}
export interface Nvidia {
  readonly library: boolean;
  readonly cards: readonly Card[] | undefined;
}
export function parseCards(text: string): Card[];
export function findNvidia(env?: NodeJS.ProcessEnv): Promise<Nvidia>;
export function judgeNvidia(nvidia: Nvidia): { readonly found: string; readonly missing?: string };

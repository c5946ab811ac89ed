export interface NativeWheel {
  readonly title: string;
  readonly requirement: string;
  readonly folder: string;
  readonly library?: string;
  readonly files: Readonly<Record<string, { readonly name: string; readonly sha256: string; readonly size: number }>>;
}
export interface NativeVariant {
  readonly name: 'cpu' | 'cuda';
  readonly tensorflow: NativeWheel;
  readonly libraries: readonly NativeWheel[];
}
export const variants: Readonly<Record<'cpu' | 'cuda', NativeVariant>>;
export function chooseVariant(options: {
  asked?: 'cpu' | 'cuda' | undefined;
  env?: Readonly<Record<string, string | undefined>>;
  setup: string;
}): NativeVariant;
export function rememberVariant(setup: string, variant: NativeVariant): void;
export function missingLibraries(cache: string, variant: NativeVariant): NativeWheel[];
export function checkCuda(options: {
  cache: string;
  variant: NativeVariant;
  platform?: string;
  arch?: string;
  free?: (folder: string) => number;
}): void;

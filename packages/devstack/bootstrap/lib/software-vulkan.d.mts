type Environment = Readonly<Record<string, string | undefined>>;

export function softwareVulkan(cache: string): string;
export function wantsSoftwareVulkan(cache: string, env?: Environment): boolean;
export function installSoftwareVulkan(options: {
  readonly cache: string;
  readonly reporter: {
    note(text: string): void;
    begin(title: string): { done(size?: string): void; failed(): void };
  };
  readonly env?: Environment;
}): Promise<void>;

/** A piece of HTML that needs no escaping. */
export interface Html {
  readonly text: string;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character]);
}

/** A template whose values are escaped unless they are HTML already. */
export function html(parts: TemplateStringsArray, ...values: readonly (string | number | Html)[]): Html {
  const text = parts.reduce((done, part, i) => {
    const value = values[i - 1];
    return `${done}${typeof value === 'object' ? value.text : escapeHtml(String(value))}${part}`;
  });
  return { text };
}

export function join(pieces: readonly Html[]): Html {
  return { text: pieces.map((piece) => piece.text).join('') };
}

/** Text that is HTML or CSS already. */
export function raw(text: string): Html {
  return { text };
}

/** Text in which `code` is marked as in Markdown. */
export function prose(text: string): Html {
  return join(text.split('`').map((piece, i) => (i % 2 === 1 ? html`<code>${piece}</code>` : html`${piece}`)));
}

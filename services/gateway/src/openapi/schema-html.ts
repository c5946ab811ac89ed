import type { Json } from './document.js';
import { type Html, html, join, prose } from './html.js';

/** A JSON schema for readers: one line for a simple one, a table for an object. */
export function schemaHtml(schema: Json): Html {
  if (typeof schema.$ref === 'string') {
    const name = schema.$ref.split('/').at(-1)!;
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  const properties = schema.properties as Record<string, Json> | undefined;
  if (!properties) return typeHtml(schema);
  const required = new Set((schema.required ?? []) as string[]);
  return html`<table>${join(
    Object.entries(properties).map(
      ([name, property]) =>
        html`<tr><th scope="row"><code>${name}</code>${required.has(name) ? '' : html` <small>optional</small>`}</th><td>${schemaHtml(property)}${property.description ? html`<br>${prose(property.description as string)}` : ''}</td></tr>`,
    ),
  )}</table>`;
}

function typeHtml(schema: Json): Html {
  const choices = (schema.anyOf ?? schema.oneOf) as Json[] | undefined;
  if (choices) return joinWith(choices.map(schemaHtml), ' or ');
  if (Array.isArray(schema.enum))
    return joinWith(
      schema.enum.map((value) => html`<code>${String(value)}</code>`),
      ' · ',
    );
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (schema.type === 'array')
    return html`array of ${schemaHtml((schema.items ?? {}) as Json)}${bounds(schema, 'Items')}`;
  if (schema.type === 'object')
    return html`object${schema.additionalProperties ? html` of ${schemaHtml(schema.additionalProperties as Json)}` : ''}`;
  const type = schema.type === undefined ? 'anything' : [schema.type].flat().join(' or ');
  const fallback =
    schema.default === undefined ? '' : html` <small>default <code>${JSON.stringify(schema.default)}</code></small>`;
  return html`${schema.format === 'date-time' ? 'date and time (RFC 3339)' : type}${bounds(schema, 'Length')}${range(schema)}${fallback}`;
}

function bounds(schema: Json, kind: 'Items' | 'Length'): Html | string {
  const [least, most] = [schema[`min${kind}`], schema[`max${kind}`]];
  if (most === undefined && (least === undefined || least === 0)) return '';
  return html` <small>${String(least ?? 0)}${most === undefined ? ' or more' : ` to ${most}`}${kind === 'Items' ? '' : ' characters'}</small>`;
}

function range(schema: Json): Html | string {
  const { minimum, maximum } = schema;
  if (minimum === undefined && maximum === undefined) return '';
  if (maximum === undefined) return html` <small>≥ ${String(minimum)}</small>`;
  return html` <small>${minimum === undefined ? `≤ ${maximum}` : `${minimum} to ${maximum}`}</small>`;
}

function joinWith(pieces: readonly Html[], separator: string): Html {
  return { text: pieces.map((piece) => piece.text).join(separator) };
}

import type { Json, OpenApiDocument } from './document.js';
import { type Html, html, join, prose, raw } from './html.js';
import { schemaHtml } from './schema-html.js';
import { docsStyle } from './style.js';

/**
 * The document as one page without scripts or outside resources.
 * @param origin where the reader reached this server, for the examples
 */
export function docsPage(document: OpenApiDocument, origin: string): string {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const groups = document.tags.map(({ name }) => ({
    name,
    operations: operations.filter(({ operation }) => (operation.tags as string[]).includes(name)),
  }));
  const { title, version, description } = document.info;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} API</title>
<style>${raw(docsStyle)}</style>
</head>
<body>
<nav aria-label="Routes">
<p class="brand">${title} <small>${version}</small></p>
${join(groups.map((group) => navGroup(group.name, group.operations)))}
<h2><a href="#schemas">Schemas</a></h2>
</nav>
<main>
<h1>${title} HTTP API</h1>
<p class="lead">${description}</p>
<p>Bodies are JSON. Errors are <code>application/problem+json</code> (RFC 9457) with a <code>code</code>, and
<code>errors</code> naming line and field where the input is at fault. The same description for machines:
<a href="/openapi.json"><code>/openapi.json</code></a>.</p>
<pre><code>export API=${origin}</code></pre>
${join(
  groups.map(
    (group) => html`<h2 class="group">${group.name}</h2>
${join(group.operations.map(({ path, method, operation }) => operationHtml(path, method, operation)))}`,
  ),
)}
<h2 class="group" id="schemas">Schemas</h2>
${join(
  Object.entries(document.components.schemas).map(
    ([name, schema]) => html`<section id="schema-${name}"><h3>${name}</h3>${schemaHtml(schema)}</section>`,
  ),
)}
</main>
</body>
</html>
`.text;
}

interface Operation {
  readonly path: string;
  readonly method: string;
  readonly operation: Json;
}

function navGroup(name: string, operations: readonly Operation[]): Html {
  return html`<h2>${name}</h2>
<ul>${join(
    operations.map(
      ({ path, method, operation }) =>
        html`<li><a href="#${String(operation.operationId)}"><b class="${method.toLowerCase()}">${method}</b> <span>${path.replace('/v1/streams/{stream}', '…')}</span></a></li>`,
    ),
  )}</ul>`;
}

function operationHtml(path: string, method: string, operation: Json): Html {
  const parameters = operation.parameters as Json[];
  const body = operation.requestBody as { content: Record<string, { schema: Json }> } | undefined;
  const responses = Object.entries(operation.responses as Record<string, Json>);
  return html`<section id="${String(operation.operationId)}">
<h3><b class="${method.toLowerCase()}">${method}</b> <code>${path}</code></h3>
<p>${operation.summary as string}.${operation.description ? html` ${prose(operation.description as string)}` : ''}</p>
<pre><code>${curlOf(path, method, operation)}</code></pre>
${parameters.length > 0 ? parameterTable(parameters) : ''}
${body ? html`<h4>Body</h4>${join(Object.entries(body.content).map(([type, { schema }]) => html`<p><code>${type}</code> ${schemaHtml((schema['x-line-schema'] as Json) ?? schema)}${schema['x-line-schema'] ? ' a line' : ''}</p>`))}` : ''}
<h4>Answers</h4>
<table>${join(responses.map(([status, response]) => responseRow(status, response)))}</table>
</section>`;
}

function parameterTable(parameters: readonly Json[]): Html {
  return html`<h4>Parameters</h4>
<table>${join(
    parameters.map((parameter) => {
      const schema = parameter.schema as Json;
      return html`<tr><th scope="row"><code>${parameter.name as string}</code></th><td>${parameter.in as string}</td><td>${schemaHtml(schema)}${parameter.description ? html`<br>${prose(parameter.description as string)}` : ''}</td></tr>`;
    }),
  )}</table>`;
}

function responseRow(status: string, response: Json): Html {
  const contents = Object.entries(response.content as Record<string, { schema: Json }>);
  return html`<tr><th scope="row">${status}</th><td>${response.description as string}</td><td>${join(contents.map(([type, { schema }]) => contentHtml(type, schema)))}</td></tr>`;
}

function contentHtml(type: string, schema: Json): Html {
  if (type.endsWith('json')) return schemaHtml(schema);
  const line = schema['x-line-schema'] as Json | undefined;
  return line ? html` or <code>${type}</code> of ${schemaHtml(line)}` : html`<code>${type}</code>`;
}

/** A call that works as soon as API (and STREAM) are set. */
function curlOf(path: string, method: string, operation: Json): string {
  const url = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => `$${name.toUpperCase()}`);
  const verb = method === 'GET' ? '' : `-X ${method} `;
  const rest = operation['x-curl'] ? ` \\\n  ${operation['x-curl']}` : '';
  return `curl -sS ${verb}"$API${url}"${rest}`;
}

/**
 * The OpenAPI document as one page to read: no scripts, no other hosts, nothing to load. It shows what the document
 * says and adds the table of fault codes, whose anchors the `type` of every problem points to.
 */
import { FAULT_MEANINGS, type FaultMeaning } from '../api/index.ts';
import { FAULT_CODES } from '../base/index.ts';

type Json = Readonly<Record<string, unknown>>;

export const DOCS_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cache-control': 'no-cache',
};

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 0.9em/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.5rem; border: 1px solid #8884; }
section.route { border-top: 1px solid #8884; padding: 0.5rem 0; }
h3 { margin: 0.5rem 0; font-size: 1rem; }
h3 b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: 0.2rem 0.75rem 0.2rem 0; }
td:first-child { white-space: nowrap; }
small { color: #888; }
`;

export function docsPage(document: Json): string {
  const info = document.info as Json;
  const tags = document.tags as readonly Json[];
  const operations = operationsOf(document);
  const rooms = tags.map((tag) => {
    const own = operations.filter(({ operation }) => (operation.tags as string[]).includes(String(tag.name)));
    return `<h2 id="${inHtml(tag.name)}">${inHtml(tag.name)}</h2><p>${inHtml(tag.description)}</p>${own.map(routeOf).join('')}`;
  });
  const links = [...tags.map((tag) => String(tag.name)), 'Errors', 'Schemas'];
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>${inHtml(info.title)} HTTP API</title><style>${STYLE}</style></head><body>`,
    `<h1>${inHtml(info.title)} HTTP API <small>${inHtml(info.version)}</small></h1><p>${inHtml(info.description)}</p>`,
    `<p>${links.map((name) => `<a href="#${inHtml(name)}">${inHtml(name)}</a>`).join(' · ')} · <a href="/v1/openapi.json">openapi.json</a></p>`,
    ...rooms,
    faultTable(),
    schemasOf(document),
    '</body></html>\n',
  ].join('\n');
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly operation: Json;
}

function operationsOf(document: Json): Operation[] {
  const paths = document.paths as Readonly<Record<string, Readonly<Record<string, Json>>>>;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

function routeOf({ method, path, operation }: Operation): string {
  return [
    `<section class="route" id="${inHtml(operation.operationId)}">`,
    `<h3><b>${method}</b> <code>${inHtml(path)}</code></h3>`,
    `<p>${inHtml(operation.summary)}. ${marked(operation.description ?? '')}</p>`,
    table('Parameters', parameterRows(operation.parameters as readonly Json[])),
    table('Body', bodyRows(operation.requestBody as Json | undefined)),
    table('Answers', answerRows(operation.responses as Readonly<Record<string, Json>>)),
    '</section>',
  ].join('\n');
}

function parameterRows(parameters: readonly Json[]): string[][] {
  return parameters.map((parameter) => {
    const schema = parameter.schema as Json;
    const text = marked(parameter.description ?? schema.description ?? '');
    return [
      `<code>${inHtml(parameter.name)}</code>`,
      inHtml(`${parameter.in}${parameter.required === true ? ', required' : ''}`),
      text,
    ];
  });
}

function bodyRows(body: Json | undefined): string[][] {
  if (body === undefined) return [];
  return Object.entries(body.content as Readonly<Record<string, Json>>).map(([type, content]) => {
    const example =
      content.example === undefined ? '' : `<pre>${inHtml(JSON.stringify(content.example, null, 2))}</pre>`;
    return [`<code>${inHtml(type)}</code>`, `${shapeOf(content.schema as Json | undefined)}${example}`];
  });
}

function answerRows(answers: Readonly<Record<string, Json>>): string[][] {
  return Object.entries(answers).map(([status, answer]) => {
    const types = Object.entries((answer.content ?? {}) as Readonly<Record<string, Json>>);
    const shown = types.map(
      ([type, content]) => `<code>${inHtml(type)}</code> ${shapeOf(content.schema as Json | undefined)}`,
    );
    return [inHtml(status), marked(answer.description ?? ''), shown.join('<br>')];
  });
}

/** A link to a named schema, or the members of one without a name. */
function shapeOf(schema: Json | undefined): string {
  if (schema === undefined) return '';
  if (typeof schema.$ref === 'string') {
    const name = schema.$ref.split('/').at(-1) ?? '';
    return `<a href="#schema-${inHtml(name)}">${inHtml(name)}</a>`;
  }
  if (schema.properties === undefined) return '';
  return `<pre>${inHtml(JSON.stringify(schema, null, 2))}</pre>`;
}

function table(title: string, rows: readonly string[][]): string {
  if (rows.length === 0) return '';
  const body = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('');
  return `<table><thead><tr><th colspan="3"><small>${title}</small></th></tr></thead><tbody>${body}</tbody></table>`;
}

function faultTable(): string {
  const rows = FAULT_CODES.map((code) => {
    const meaning: FaultMeaning = FAULT_MEANINGS[code];
    return `<tr id="fault-${code}"><td><code>${code}</code></td><td>${meaning.status}</td><td>${inHtml(meaning.title)}</td></tr>`;
  });
  const intro = 'Every error is a problem document (RFC 9457) with one of these codes.';
  return `<h2 id="Errors">Errors</h2><p>${intro}</p><table>${rows.join('')}</table>`;
}

function schemasOf(document: Json): string {
  const { schemas } = document.components as { readonly schemas: Readonly<Record<string, Json>> };
  const shown = Object.entries(schemas).map(
    ([name, schema]) =>
      `<h3 id="schema-${inHtml(name)}">${inHtml(name)}</h3><pre>${inHtml(JSON.stringify(schema, null, 2))}</pre>`,
  );
  return `<h2 id="Schemas">Schemas</h2>${shown.join('')}`;
}

function marked(text: unknown): string {
  return inHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}

function inHtml(text: unknown): string {
  return String(text).replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`);
}

const statement = /(?:^|[;\n}])\s*(import|export)\s+(type\s+)?(?:[\w$*{][^;'"`]*?\s*from\s*)?(["'])([^"'\n]+)\3/g;
const call = /\b(import|require|require\.resolve)\s*\(\s*(["'])([^"'\n]+)\2/g;
const typeQuery = /(?:[:<|&=,(]|\btypeof|\bas|\bextends)\s*$/;

/** The source with comments blanked out (line breaks kept), and strings left as they are. */
export function withoutComments(source) {
  let out = '';
  let at = 0;
  const blank = (text) => text.replace(/[^\n]/g, ' ');
  const token = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  for (const match of source.matchAll(token)) {
    out += source.slice(at, match.index);
    if (match[0].startsWith('/')) out += blank(match[0]);
    // A template's text is no import, whatever it says.
    else if (match[0].startsWith('`')) out += `\`${blank(match[0].slice(1, -1))}\``;
    else out += match[0];
    at = match.index + match[0].length;
  }
  return out + source.slice(at);
}

/** All modules that a source imports, with the line (from 1) and whether only types are imported. */
export function importsOf(source) {
  const text = withoutComments(source);
  const lineOf = (index) => text.slice(0, index).split('\n').length;
  const found = [];
  for (const match of text.matchAll(statement)) {
    const at = match.index + match[0].length - 1;
    found.push({ specifier: match[4], typeOnly: match[2] !== undefined, line: lineOf(at) });
  }
  for (const match of text.matchAll(call)) {
    const typeOnly = match[1] === 'import' && typeQuery.test(text.slice(0, match.index));
    found.push({ specifier: match[3], typeOnly, line: lineOf(match.index) });
  }
  return found.sort((a, b) => a.line - b.line);
}

/** Style of the docs page: system fonts, light and dark, readable on a phone. */
export const docsStyle = `
:root { color-scheme: light dark; --fg: #1c1e21; --dim: #5d646d; --bg: #ffffff; --panel: #f5f6f8; --line: #dfe2e6; --link: #0b5cad; --get: #0a6b3d; --post: #8a4b00; }
@media (prefers-color-scheme: dark) {
  :root { --fg: #e6e8eb; --dim: #a0a7b0; --bg: #14161a; --panel: #1d2026; --line: #333841; --link: #7db7f5; --get: #6fd3a0; --post: #f0b46a; }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; display: grid; grid-template-columns: 19rem minmax(0, 1fr); font: 16px/1.55 system-ui, sans-serif; color: var(--fg); background: var(--bg); }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.25rem; background: var(--panel); border-right: 1px solid var(--line); font-size: .875rem; }
nav .brand { margin: 0 0 1rem; font-size: 1.15rem; font-weight: 650; }
nav h2 { margin: 1.1rem 0 .25rem; font-size: .75rem; text-transform: uppercase; letter-spacing: .06em; color: var(--dim); }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li a { display: block; padding: .12rem 0; color: var(--fg); text-decoration: none; overflow-wrap: anywhere; }
nav li a:hover span { text-decoration: underline; }
main { padding: 2rem clamp(1rem, 4vw, 3.5rem) 4rem; max-width: 62rem; }
h1 { margin: 0 0 .5rem; font-size: 1.9rem; line-height: 1.2; }
.lead { font-size: 1.1rem; color: var(--dim); margin-top: 0; }
h2.group { margin: 3rem 0 0; padding-bottom: .3rem; border-bottom: 2px solid var(--line); font-size: 1.35rem; }
section { padding: 1.4rem 0 .6rem; border-bottom: 1px solid var(--line); }
h3 { margin: 0 0 .3rem; font-size: 1.05rem; overflow-wrap: anywhere; }
h4 { margin: .9rem 0 .2rem; font-size: .8rem; color: var(--dim); text-transform: uppercase; letter-spacing: .05em; }
p { margin: .4rem 0; }
a { color: var(--link); }
b.get, b.post { font: 600 .78rem ui-monospace, monospace; }
b.get { color: var(--get); }
b.post { color: var(--post); }
code { font: .87em ui-monospace, SFMono-Regular, Menlo, monospace; }
pre { margin: .6rem 0; padding: .7rem .9rem; overflow-x: auto; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
tr:first-child > th, tr:first-child > td { border-top: 0; }
th { font-weight: 600; width: 13rem; }
td table { font-size: 1em; }
small { color: var(--dim); font-size: .88em; font-weight: 400; }
@media (max-width: 52rem) {
  body { display: block; }
  nav { position: static; height: auto; border-right: 0; border-bottom: 1px solid var(--line); }
  th { width: auto; }
}
`;

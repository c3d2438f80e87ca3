"""The style of what notebooks show.

Notebooks are light or dark, and their own pages say which. So text has the colour that it inherits, lines and bars have the
notebook's (Jupyter's or VS Code's variables) or one that is visible on both, and nothing has a background.
"""

from __future__ import annotations

STYLE = (
    "div.headspan{--hs-line:var(--jp-border-color2,var(--vscode-editorWidget-border,rgba(128,128,128,.4)));"
    "--hs-bar:var(--jp-brand-color1,var(--vscode-charts-blue,#4292c6));color:inherit;color-scheme:inherit;line-height:1.4}"
    "div.headspan p{margin:.3em 0}"
    "div.headspan .hs-title{font-weight:600}"
    "div.headspan .hs-dim{opacity:.75}"
    "div.headspan .hs-scroll{overflow:auto;width:fit-content;max-width:100%;max-height:26em;border:1px solid var(--hs-line)}"
    "div.headspan table{border-collapse:collapse;border:0;margin:0;font-size:.92em;color:inherit}"
    "div.headspan th,div.headspan td{border:0;border-bottom:1px solid var(--hs-line);padding:.2em .6em;text-align:left;"
    "vertical-align:top;color:inherit;unicode-bidi:isolate;white-space:nowrap}"
    "div.headspan th{font-weight:600}"
    "div.headspan td.hs-number{text-align:right;font-variant-numeric:tabular-nums}"
    "div.headspan td.hs-wrap{white-space:normal;min-width:16em}"
    "div.headspan .hs-bar{display:inline-block;width:6em;height:.7em;border:1px solid var(--hs-line);margin-right:.5em}"
    "div.headspan .hs-bar i{display:block;height:100%;background:var(--hs-bar)}"
    "div.headspan .hs-images{display:flex;flex-wrap:wrap;gap:.5em;overflow:auto;max-width:100%;max-height:40em}"
    "div.headspan figure{margin:0}"
    "div.headspan .hs-thumb{width:96px}"
    "div.headspan .hs-thumb img,div.headspan .hs-none{width:96px;height:96px;object-fit:contain;margin:0;max-width:none}"
    "div.headspan .hs-none{box-sizing:border-box;border:1px dashed var(--hs-line);padding:.3em;font-size:.75em;overflow:hidden;"
    "overflow-wrap:anywhere}"
    "div.headspan .hs-map{width:224px}"
    "div.headspan .hs-map img{width:224px;height:224px;margin:0;max-width:none}"
    "div.headspan figcaption{font-size:.85em;overflow-wrap:anywhere;unicode-bidi:isolate}"
    "div.headspan .hs-legend{max-width:24em}"
    "div.headspan .hs-legend i{display:block;height:.8em;border:1px solid var(--hs-line)}"
    "div.headspan .hs-legend span{display:flex;justify-content:space-between;font-size:.85em}"
)

"""How the page looks: one column, light or dark as the reader's system says, sober on paper."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--ink:#1d232a;--soft:#55606c;--paper:#fff;--ground:#f5f6f8;--line:#d8dde3;
--accent:#0060a0;--good:#00674b;--good-bg:#e2f3ec;--bad:#a13d00;--bad-bg:#fbeadf;--open:#4d5560;--open-bg:#e9ecf0;--note:#eef4fa}
@media (prefers-color-scheme:dark){:root{--ink:#e5e9ee;--soft:#a4aebb;--paper:#1b2027;--ground:#12161b;--line:#39424d;
--accent:#7cc0f5;--good:#7fdcb9;--good-bg:#143a2d;--bad:#f5b183;--bad-bg:#43260f;--open:#c3cbd5;--open-bg:#2c343d;
--note:#1a2a3a}figure img:not(.photo){filter:invert(1) hue-rotate(180deg)}}
*{box-sizing:border-box}
html{font:16px/1.6 system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
html:lang(ja){font-family:"Hiragino Sans","Hiragino Kaku Gothic ProN","Yu Gothic UI","Yu Gothic",Meiryo,"Noto Sans JP",
"Noto Sans CJK JP",sans-serif;line-height:1.8;line-break:strict}
body{margin:0;background:var(--ground);color:var(--ink)}
header,nav,main,footer{max-width:58rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.5rem}
.kicker{margin:0;color:var(--soft);font-size:.9rem}
h1{font-size:1.9rem;line-height:1.25;margin:.2rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.35rem;line-height:1.3;margin:0 0 .9rem}
h3{font-size:1.05rem;margin:0 0 .4rem}
nav ol{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:0 0 1.2rem;padding:0;list-style:none;font-size:.9rem}
a{color:var(--accent)}
section{background:var(--paper);border:1px solid var(--line);border-radius:.6rem;padding:1.5rem;margin:0 0 1.25rem}
p{margin:0 0 .8rem}
p,li,dd,figcaption{overflow-wrap:break-word}
.lead{font-size:1.15rem;font-weight:600;line-height:1.5;margin-bottom:1.1rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11.5rem,1fr));gap:.8rem;margin:0 0 1.2rem}
.card{border:1px solid var(--line);border-radius:.5rem;padding:.8rem .9rem;display:flex;flex-direction:column}
.card p{margin:0}.card .label{color:var(--soft);font-size:.82rem;line-height:1.4;flex:1;margin-bottom:.3rem}
.card .value{font-size:1.25rem;font-weight:650;line-height:1.3;white-space:nowrap}
.card .against{font-size:.85rem;color:var(--soft)}
.whole{white-space:nowrap}.card .tag{align-self:flex-start;margin-top:.55rem}
.tag{font-size:.8rem;font-weight:600;border-radius:1rem;padding:.05rem .65rem}
.good{color:var(--good);background:var(--good-bg)}.bad{color:var(--bad);background:var(--bad-bg)}
.open{color:var(--open);background:var(--open-bg)}
.trust{border-left:.3rem solid var(--accent);background:var(--note);border-radius:.2rem;padding:.8rem 1rem;
margin:1rem 0 0}
.trust p{margin:0}
.scroll{overflow-x:auto;margin:0 0 1rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;line-height:1.45}
caption{text-align:left;color:var(--soft);font-size:.85rem;padding:0 0 .4rem}
th,td{text-align:left;vertical-align:top;padding:.42rem .7rem .42rem 0;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--soft);white-space:nowrap}
tbody th{font-weight:500}
.numbers th:not(:first-child),.numbers td,.layers th:not(:first-child),.layers td{text-align:right;
font-variant-numeric:tabular-nums}
.numbers td,.layers td{white-space:nowrap}.numbers tbody th{min-width:12rem}
.numbers tbody tr:first-child{font-weight:650}
.pairs{width:auto}.pairs th{padding-right:2.5rem}
.models td:nth-child(n+3){font-variant-numeric:tabular-nums}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.none{color:var(--soft);font-style:italic}
html:lang(ja) .none{font-style:normal}
figure{margin:0 0 2rem;padding:0 0 1.2rem;border-bottom:1px solid var(--line)}
figure:last-child{margin-bottom:0;padding-bottom:0;border-bottom:0}
figure img{display:block;width:100%;height:auto;margin:.3rem auto .6rem}
figure .photo{background:#fff;border-radius:.4rem;padding:.4rem}
figcaption{font-size:.92rem;color:var(--soft);max-width:46rem}figcaption b{color:var(--ink);font-weight:500}
.absent{background:var(--open-bg);color:var(--open);border-radius:.4rem;padding:.7rem .9rem;font-size:.92rem}
pre{background:var(--ground);border:1px solid var(--line);border-radius:.4rem;padding:.7rem .9rem;overflow-x:auto}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.88em}
details{margin:0 0 .8rem}summary{cursor:pointer;color:var(--accent);margin-bottom:.5rem}
ul,ol{padding-left:1.25rem;margin:0 0 .8rem}li{margin-bottom:.35rem}
dl{display:grid;grid-template-columns:minmax(8rem,12rem) 1fr;gap:.4rem 1.2rem;margin:0 0 1rem;font-size:.92rem}
.fine{font-size:.85rem;grid-template-columns:minmax(8rem,16rem) 1fr}.fine dt{font-weight:400}
dt{font-weight:600}dd{margin:0}
footer{color:var(--soft);font-size:.85rem;padding-bottom:2.5rem}
@media (max-width:36rem){section{padding:1.1rem .9rem}h1{font-size:1.5rem}dl{grid-template-columns:1fr;gap:.1rem}
dd{margin-bottom:.6rem}header,nav,main,footer{padding-left:.7rem;padding-right:.7rem}}
@media print{:root{--ink:#000;--soft:#444;--paper:#fff;--ground:#fff;--line:#bbb;--accent:#000;--note:#f4f4f4;
--good-bg:#fff;--bad-bg:#fff;--open-bg:#fff;--good:#000;--bad:#000;--open:#000}html{font-size:10.5pt}nav{display:none}
section{border:0;padding:0;margin-bottom:1.2rem}header,main,footer{max-width:none;padding:0}.tag{border:1px solid #888}
figure,.card,tr,.trust,dt,dd{break-inside:avoid}h2,h3{break-after:avoid}.scroll{overflow:visible}
figure img:not(.photo){filter:none}
.paper::details-content{content-visibility:visible;block-size:auto}caption,thead{break-after:avoid}
summary{color:#000}}
"""

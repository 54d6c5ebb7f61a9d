// Draws the figures of the dashboard from its table, which says the same in
// words and numbers. Without this file the table is all there is.
addEventListener("DOMContentLoaded", () => {
  const rows = [...document.querySelectorAll("#days tbody tr")];
  if (!rows.length) return;
  const days = rows.map((row) => Number(row.dataset.day));
  const column = (name) => rows.map((row) => {
    const text = row.querySelector(`[data-of="${name}"]`)?.dataset.value ?? "";
    return text === "" ? null : Number(text);
  });
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const lang = document.documentElement.lang;
  const day = new Intl.DateTimeFormat(lang, { month: "numeric", day: "numeric" });
  const number = new Intl.NumberFormat(lang);

  const drawn = [];
  const draw = () => {
    for (const old of drawn.splice(0)) old.destroy();
    const ink = colour("--pico-muted-color"), line = colour("--pico-muted-border-color");
    for (const figure of document.querySelectorAll("figure.plot")) {
      const names = figure.dataset.of.split(" "), labels = figure.dataset.labels.split("|");
      const colours = [colour("--pico-primary"), colour("--bad-ink")];
      const hover = figure.querySelector("output");
      const largest = Math.max(1, ...names.flatMap(column).filter((v) => v !== null));
      const bars = figure.dataset.as === "bars";
      drawn.push(new uPlot({
        width: figure.clientWidth, height: 180,
        legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
        scales: { x: { time: false, range: (u, low, high) => [low - 0.6, high + 0.6] }, y: { range: [0, largest * 1.1] } },
        axes: [
          { stroke: ink, font: "12px system-ui", grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 28, incrs: [1, 2, 5, 7, 10], space: 48,
            values: (u, at) => at.map((i) => (days[i] === undefined ? "" : day.format(days[i] * 1000))) },
          { stroke: ink, font: "12px system-ui", grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 44,
            values: (u, at) => at.map((v) => (figure.dataset.as === "bars" && v % 1 ? "" : number.format(v))) },
        ],
        series: [{}, ...names.map((name, i) => ({
          label: labels[i], stroke: colours[i], width: 2, dash: i ? [5, 4] : [], spanGaps: false, points: { show: !bars, size: 6, fill: colours[i] },
          ...(bars && { width: 0, fill: colours[i], paths: uPlot.paths.bars({ size: [0.7, 28] }) }),
        }))],
        hooks: { setCursor: [(u) => {
          const i = u.cursor.idx;
          hover.textContent = i == null ? "" : `${day.format(days[i] * 1000)}  ` + names.map((name, n) => {
            const value = column(name)[i];
            return `${labels[n]} ${value === null ? "–" : number.format(value)}`;
          }).join("  ");
        }] },
      }, [days.map((_, i) => i), ...names.map(column)], figure.querySelector("div")));
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) draw();
    width = innerWidth;
  });
});

(() => {
  "use strict";
  const search = document.getElementById("q");
  const rows = [...document.querySelectorAll("tr[data-key]")];
  if (search) {
    const none = document.getElementById("none");
    search.addEventListener("input", () => {
      const text = search.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.dataset.key.includes(text);
        if (!row.hidden) shown += 1;
      }
      if (shown === 0) none.textContent = "Nothing on this page matches; Enter searches all.";
      none.hidden = shown > 0;
    });
  }
  const stats = [...document.querySelectorAll("dd[data-stat]")];
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/stats.json");
      if (!answer.ok) return;
      const numbers = await answer.json();
      for (const stat of stats) {
        const number = numbers[stat.dataset.stat];
        if (typeof number === "number") {
          const digits = number < 9.95 && !Number.isInteger(number) ? 1 : 0;
          stat.textContent = number.toLocaleString("en", {
            minimumFractionDigits: digits, maximumFractionDigits: digits,
          });
        }
      }
    } catch {
      // The tracker is away; the next time will do.
    }
  };
  if (stats.length > 0) setInterval(refresh, 5000);
})();

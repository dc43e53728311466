// Before the first paint: the theme somebody chose; without a choice the system's holds.
try {
  var chosen = localStorage.getItem("fw.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch (_) {}

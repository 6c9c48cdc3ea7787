/** Before anything is painted: the theme that was chosen on an earlier visit. */
try {
  document.documentElement.dataset.theme = localStorage.getItem("saccade-theme") ?? "system";
} catch {
  document.documentElement.dataset.theme = "system";
}

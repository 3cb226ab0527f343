// Sets the theme before anything is painted. It stands alone, since modules run too late for that.
(() => {
  const wish = localStorage.getItem("theme");
  if (wish === "light" || wish === "dark") document.documentElement.dataset.theme = wish;
})();

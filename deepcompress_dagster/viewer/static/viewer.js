// Links a row to its place on the page and back, and pages by keyboard. No state but the address.

const sides = document.querySelector(".sides");

function pairs(region) {
  return sides.querySelectorAll(`[data-region="${CSS.escape(region)}"]`);
}

function choose(region, { scroll } = {}) {
  for (const old of sides.querySelectorAll(".chosen")) old.classList.remove("chosen");
  for (const element of pairs(region)) {
    element.classList.add("chosen");
    if (scroll && scroll !== element) element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
  const address = new URL(location.href);
  address.searchParams.set("region", region);
  history.replaceState(null, "", address);
}

function mark(cell) {
  for (const old of sides.querySelectorAll(".pointed")) old.classList.remove("pointed");
  if (!cell) return;
  for (const element of sides.querySelectorAll(`[data-cell="${CSS.escape(cell)}"]`)) {
    element.classList.add("pointed");
  }
}

function follow(relation) {
  document.querySelector(`a[rel="${relation}"]`)?.click();
}

if (sides) {
  sides.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-cell]");
    mark(cell?.dataset.cell);
    const place = event.target.closest("[data-region]");
    const region = place?.dataset.region ?? cell?.dataset.cell.split("-")[0];
    if (region) choose(region, { scroll: place ?? cell });
  });
  if (sides.dataset.chosen) choose(sides.dataset.chosen, { scroll: document.body });
  const next = document.querySelector('a[rel="next"]');
  if (next) new Image().src = `${next.getAttribute("href")}/image`;
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowLeft") follow("prev");
  if (event.key === "ArrowRight") follow("next");
  if (event.key === "Enter" && event.target.dataset?.region) {
    choose(event.target.dataset.region, { scroll: event.target });
  }
});

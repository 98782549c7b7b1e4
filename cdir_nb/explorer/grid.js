// A grid of pictures that are buttons: keyboard and screen reader reach each of them.
function draw(model, el) {
  const list = document.createElement("div");
  list.className = "cdir-grid";
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", model.get("label"));
  for (const item of model.get("items")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = `cdir-tile cdir-${item.kind}`;
    button.title = item.alt;
    const image = document.createElement("img");
    image.src = item.src;
    image.alt = item.alt;
    const note = document.createElement("span");
    note.textContent = item.note;
    button.append(image, note);
    button.addEventListener("click", () => {
      list.querySelectorAll(".cdir-picked").forEach((picked) => picked.classList.remove("cdir-picked"));
      button.classList.add("cdir-picked");
      model.set("clicked", { key: item.key, times: (model.get("clicked").times ?? 0) + 1 });
      model.save_changes();
    });
    list.append(button);
  }
  el.replaceChildren(list);
}

function render({ model, el }) {
  const redraw = () => draw(model, el);
  model.on("change:items", redraw);
  model.on("change:label", redraw);
  redraw();
  return () => model.off("change:items", redraw);
}

export default { render };

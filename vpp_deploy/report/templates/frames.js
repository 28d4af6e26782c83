// The strip of frames can be scrolled without this; with it, it has a slider too.
for (const strip of document.querySelectorAll(".strip")) {
  const frames = strip.children;
  const label = document.createElement("label");
  const slider = document.createElement("input");
  const number = document.createElement("output");
  Object.assign(slider, { type: "range", min: 1, max: frames.length, value: 1 });
  label.className = "slider";
  label.append("Frame ", slider, number);
  const tell = () => { number.value = `${slider.value} of ${frames.length}`; };
  slider.addEventListener("input", () => {
    strip.scrollLeft = frames[slider.value - 1].offsetLeft - frames[0].offsetLeft;
    tell();
  });
  strip.addEventListener("scroll", () => {
    slider.value = 1 + Math.round(strip.scrollLeft / strip.clientWidth);
    tell();
  });
  tell();
  if (frames.length > 1) strip.before(label);
}

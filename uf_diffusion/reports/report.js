"use strict";
// Draws the page's figures from the JSON beside them, and moves those with frames by the slider.
(() => {
  const options = {responsive: true, displaylogo: false,
                   modeBarButtonsToRemove: ["select2d", "lasso2d", "resetCameraLastSave3d"]};
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = Promise.all(plots.map(plot => {
    const figure = JSON.parse(document.getElementById(plot.id + "-data").textContent);
    return Plotly.newPlot(plot, figure.data, figure.layout, options)
      .then(() => Plotly.addFrames(plot, figure.frames || []))
      .then(() => { plot.moves = (figure.frames || []).length > 0; });
  }));
  const moving = () => plots.filter(plot => plot.moves);

  const globes = plots.filter(plot => plot.dataset.globe !== undefined);
  let turning = false;
  const turn = source => change => {
    const camera = change["scene.camera"];
    if (!camera || turning) return;
    turning = true;
    Promise.all(globes.filter(plot => plot !== source)
      .map(plot => Plotly.relayout(plot, {"scene.camera": camera})))
      .finally(() => { turning = false; });
  };
  drawn.then(() => globes.forEach(plot => plot.on("plotly_relayout", turn(plot))));

  const slider = document.getElementById("time");
  if (slider) {
    const shown = document.getElementById("time-shown"), button = document.getElementById("play");
    const times = JSON.parse(slider.dataset.times);
    const now = {mode: "immediate", transition: {duration: 0}, frame: {duration: 0, redraw: true}};
    let wanted = 0, busy = false, timer = 0;
    const show = async () => {
      const text = "t = " + times[slider.value];
      shown.textContent = text;
      slider.setAttribute("aria-valuetext", text);
      wanted = slider.value;
      if (busy) return;
      busy = true;
      let done = null;
      while (done !== wanted) {  // the newest wish only: a fast hand outruns the drawing
        done = wanted;
        await Promise.all(moving().map(plot => Plotly.animate(plot, [String(done)], now)));
        slider.dataset.drawn = done;
      }
      busy = false;
    };
    const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
    slider.addEventListener("input", () => { stop(); show(); });
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (slider.value === slider.max) slider.value = 0;
      button.textContent = "Pause";
      show();
      timer = setInterval(() => {
        if (busy) return;
        slider.value = Number(slider.value) + 1;
        show();
        if (slider.value === slider.max) stop();
      }, 350);
    });
    drawn.then(() => { slider.disabled = button.disabled = false; return show(); });
  }
  drawn.then(() => { document.documentElement.dataset.drawn = "yes"; });
})();

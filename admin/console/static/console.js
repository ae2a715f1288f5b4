// What the pages do better with scripts. They work without.
"use strict";

// Copying: a button with data-copy names the element whose text it copies.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const from = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(from.value ?? from.textContent);
  button.dataset.copied = "";
});

// Ticking all rows of a table at once.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-tick-all]")) return;
  for (const box of event.target.form.querySelectorAll(`input[type=checkbox][name="${event.target.dataset.tickAll}"]`)) {
    box.checked = event.target.checked;
  }
});

// A drop zone hands files to the field inside of it.
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    const zone = event.target.closest?.("[data-drop]");
    if (!zone) return;
    event.preventDefault();
    zone.toggleAttribute("data-over", type === "dragover");
    if (type !== "drop" || event.dataTransfer.files.length === 0) return;
    const field = zone.querySelector("input[type=file]");
    field.files = event.dataTransfer.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

// A form that is being sent is not sent again.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent !== undefined) event.preventDefault();
  event.target.dataset.sent = "";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Buttons that only work with scripts are shown by them.
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;

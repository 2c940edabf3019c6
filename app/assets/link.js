// Shows the address of the page as it is when somebody looks, and copies it. Controls change it without a new run.

export default function (component) {
  const root = component.parentElement.querySelector(".root");
  const [field, button, said] = root.children;
  const show = () => {
    if (field.value !== window.location.href) {
      field.value = window.location.href;
      said.textContent = "";
    }
  };
  field.onfocus = () => field.select();
  button.onclick = async () => {
    show();
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied.";
    } catch {
      // a browser lends its clipboard only to pages of https or of this machine
      field.select();
      said.textContent = "Selected: copy it with Ctrl+C or ⌘C.";
    }
  };
  show();
  const watch = setInterval(show, 250);
  return () => clearInterval(watch);
}

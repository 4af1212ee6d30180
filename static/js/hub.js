// What the Hub's own scripts expect of the page that they run in, from the attributes of this script's element.
(() => {
  const told = document.currentScript.dataset;

  window.jhdata = {
    base_url: told.baseUrl,
    prefix: told.prefix,
    user: told.user || undefined,
    admin_access: told.adminAccess === "true",
    options_form: false,
    xsrf_token: told.xsrf,
  };
  window.base_url = told.baseUrl;
  window.api_page_limit = Number(told.pageLimit) || undefined;

  window.require?.config({
    urlArgs: `v=${told.version}`,
    baseUrl: told.scripts,
    paths: {
      components: "../components",
      jquery: "../components/jquery/dist/jquery.min",
      "js-sha256": "../components/js-sha256/build/sha256.min",
      moment: "../components/moment/moment",
    },
  });

  // They say what went wrong in a dialog of Bootstrap's, which is not here: the browser has dialogs of its own.
  window.bootstrap = {
    Modal: class {
      constructor(dialog) { this.dialog = dialog; }
      show() { this.dialog.showModal(); }
    },
  };
  document.addEventListener("click", (event) => event.target.closest?.("[data-close]")?.closest("dialog").close());
})();

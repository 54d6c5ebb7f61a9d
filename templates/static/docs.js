// Shows /api/openapi.json. Nothing can be tried from the page: nobody should
// type a token into it.
const nothing = () => () => null;

window.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: "/api/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    docExpansion: "none",
    supportedSubmitMethods: [],
    validatorUrl: null,
    plugins: [() => ({ wrapComponents: { AuthorizeBtnContainer: nothing, authorizeBtn: nothing, authorizeOperationBtn: nothing } })],
  });
});

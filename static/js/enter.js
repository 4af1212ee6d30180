// Goes on to the app at once, unless the visitor came here by the Back button: then the button waits for them.
import { cameBack } from "./history.js";

const form = document.querySelector("form[data-enter]");
if (form && !cameBack()) form.submit();

// Before anything is drawn: where the script will show the questions, the static ones need not be laid out.
if ("DecompressionStream" in window) document.documentElement.classList.add("js");

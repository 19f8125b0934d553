// Before anything is drawn: one tab is shown, not all of them below each other.
document.documentElement.classList.add("js");

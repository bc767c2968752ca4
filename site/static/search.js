// A traceback's last line is put into the search as it is. Its class (`TypeError: `) and addresses
// (`0x7f…`) are no part of the texts in the index, and every word of a search must be found.
const CLASS = /^(?:(?:\w+\.)+\w+|\w*(?:Error|Exception|Warning|Interrupt|Group)): (?=\S)/;
const ADDRESS = /\b0x[0-9a-f]+\b>?/gi;

// Search begins at the same event, on the search page alone; this listener was there before.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const perform = Search.performSearch;
  Search.performSearch = (query) =>
    perform(query.trim().replace(CLASS, "").replace(ADDRESS, " ").replace(/\s+/g, " ").trim());
});

// A traceback's last line is put into the search as it is. Its class (`TypeError: `) and addresses
// (`0x7f…`) are no part of the texts in the index, and every word of a search must be found.
const CLASS = /^(?:(?:\w+\.)+\w+|\w*(?:Error|Exception|Warning|Interrupt|Group)): (?=\S)/;
const ADDRESS = /\b0x[0-9a-f]+\b>?/gi;

// As Sphinx splits a search into words, but for single letters: the t of "can't" would be marked in
// every word that has one.
var splitQuery = (query) =>
  query.split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu).filter((word) => word.length > 1);

// Search begins at the same event, on the search page alone; this listener was there before.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const perform = Search.performSearch;
  Search.performSearch = (query) =>
    perform(query.trim().replace(CLASS, "").replace(ADDRESS, " ").replace(/\s+/g, " ").trim());
});

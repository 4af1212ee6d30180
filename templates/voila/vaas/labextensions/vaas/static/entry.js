// Voilà asks for a script of each extension. What this one would define is in libraries.js, which is there already.

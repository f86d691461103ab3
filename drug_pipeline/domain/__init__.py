"""The ground floor: names, schemas, errors and the tables that every other floor speaks in."""

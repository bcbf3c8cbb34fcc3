"""What people of the past were, and of which nation. Checked against WordNet 3.1."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pack_facts import Facts
from pack_people_table import PEOPLE
from pack_wordnet import PERSON, Sense, nouns

# The calling alone: two nations may claim them, or few of theirs are here, or WordNet names none.
CALLED = {
    "actor": "Bela Lugosi, Boris Karloff, Cary Grant, Charles Laughton, Peter Lorre",
    "actress": "Greta Garbo, Jessica Tandy",
    "architect": "Eero Saarinen, Filippo Brunelleschi, Le Corbusier, Walter Gropius",
    "astronomer": "Nicolaus Copernicus, William Herschel",
    "chemist": "Dorothy Hodgkin, Wilhelm Ostwald",
    "composer": "Arnold Schonberg, Christoph Willibald Gluck, George Frideric Handel, "
    "Igor Stravinsky",
    "economist": "Joseph Schumpeter, Wassily Leontief",
    "explorer": "Amerigo Vespucci",
    "general": "Miltiades",
    "mathematician": "Andre Weil, Bernhard Riemann, Hermann Minkowski",
    "novelist": "Iris Murdoch, Joseph Conrad, Saul Bellow",
    "painter": "Anthony van Dyck, El Greco, Jan van Eyck, John Singer Sargent, Kazimir Malevich, "
    "Marc Chagall, Mark Rothko, Max Ernst, Paul Klee, Peter Paul Rubens, Pieter Bruegel, Titian",
    "philosopher": "Ludwig Wittgenstein",
    "physicist": "Albert Einstein, Edward Teller, Ernest Rutherford, Gabriel Daniel Fahrenheit, "
    "Hans Bethe, Lise Meitner, Max Born",
    "poet": "Dylan Thomas, Guillaume Apollinaire, Pablo Neruda, Phillis Wheatley, "
    "Rainer Maria Rilke, W. H. Auden",
    "sculptor": "Constantin Brancusi, Donatello, Louise Nevelson",
    "singer": "Bob Marley",
}

# The nation alone: people of several callings, or of none of these.
OF_NATION = {
    "American": "Abraham Lincoln, Benjamin Franklin, Edgar Allan Poe, Frederick Douglass, "
    "George Washington, Harriet Tubman, Henry Ford, Mark Twain, Thomas Edison, Thomas Jefferson, "
    "Walt Disney",
    "Austrian": "Anton Bruckner, Sigmund Freud",
    "Belgian": "Adolphe Sax",
    "Canadian": "Frederick Banting, Marshall McLuhan, Stephen Leacock",
    "Chinese": "Chiang Kai-shek, Lao-tzu, Mao Zedong, Sun Yat-sen, Zhou Enlai",
    "Czech": "Jan Hus, Jaroslav Hasek, Karel Capek",
    "Danish": "Hans Christian Andersen, Isak Dinesen, Vitus Bering",
    "Dutch": "Antonie van Leeuwenhoek, Christiaan Huygens, Desiderius Erasmus, Mata Hari, "
    "Piet Mondrian",
    "English": "Charles Darwin, Francis Drake, Isaac Newton, John Lennon, Lewis Carroll, "
    "Michael Faraday, Oliver Cromwell, William Shakespeare",
    "French": "Albert Camus, Blaise Pascal, Charles de Gaulle, George Sand, Jean-Paul Sartre, "
    "Jules Verne, Louis Braille, Louis Pasteur, Rene Descartes, Victor Hugo, Voltaire",
    "German": "Albrecht Durer, Bertolt Brecht, Johann Sebastian Bach, Johannes Gutenberg, "
    "Martin Luther, Otto von Bismarck, Thomas Mann",
    "Greek": "Aesop, Archimedes, Demosthenes, Euclid, Pythagoras, Sappho, Xenophon",
    "Hungarian": "Bela Bartok, Franz Liszt",
    "Indian": "Indira Gandhi, Jawaharlal Nehru, Mahatma Gandhi, Rabindranath Tagore",
    "Irish": "Bram Stoker, James Joyce, Oscar Wilde, Robert Boyle, William Butler Yeats",
    "Italian": "Benito Mussolini, Federico Fellini, Galileo Galilei, Giuseppe Garibaldi, "
    "Guglielmo Marconi, Leonardo da Vinci, Niccolo Machiavelli, Niccolo Paganini",
    "Japanese": "Akira Kurosawa, Hirohito, Isoroku Yamamoto",
    "Mexican": "Diego Rivera, Emiliano Zapata, Jose Clemente Orozco, Pancho Villa",
    "Norwegian": "Fridtjof Nansen, Henrik Ibsen",
    "Roman": "Brutus, Cicero, Julius Caesar, Juvenal, Pliny the Elder, Pompey, Seneca",
    "Russian": "Aleksandr Borodin, Anna Pavlova, Anton Chekhov, Grigori Rasputin, Ivan Pavlov, "
    "Maxim Gorky, Vaslav Nijinsky, Vladimir Lenin",
    "Scottish": "Alexander Fleming, David Livingstone, James Barrie, James Boswell, James Watt, "
    "John Knox, Robert Louis Stevenson, Thomas Carlyle",
    "Spanish": "Andres Segovia, Francisco Franco, Francisco Pizarro, Hernan Cortes, Lope de Vega, "
    "Miguel de Cervantes, Pablo Casals, Pablo Picasso",
    "Swedish": "Alfred Nobel, Carolus Linnaeus, Dag Hammarskjold",
    "Swiss": "Daniel Bernoulli, Huldrych Zwingli, Paracelsus",
}

# Callings that only the nation pack leaves out: nearly all of theirs are American or English.
OF_TWO_NATIONS = {"actor", "actress", "general", "novelist", "singer"}

# The usual name, and what WordNet has. Titles need no entry.
USUAL = {
    "Anthony van Dyck": "Anthony Vandyke",
    "Antonie van Leeuwenhoek": "Anton van Leeuwenhoek",
    "Arthur Eddington": "Sir Arthur Stanley Eddington",
    "Baruch Spinoza": "Baruch de Spinoza",
    "Carl Friedrich Gauss": "Karl Gauss",
    "Charles Gounod": "Charles Francois Gounod",
    "Christian Doppler": "Christian Johann Doppler",
    "Christoph Willibald Gluck": "Christoph Willibald von Gluck",
    "Diego Velazquez": "Diego Rodriguez de Silva y Velazquez",
    "Frederick Banting": "F. G. Banting",
    "Friedrich Nietzsche": "Friedrich Wilhelm Nietzsche",
    "Fyodor Dostoevsky": "Feodor Dostoevski",
    "George Custer": "George Armstrong Custer",
    "Georgia O'Keeffe": "Georgia Okeeffe",
    "Giovanni Schiaparelli": "Giovanni Virginio Schiaparelli",
    "Grigori Rasputin": "Grigori Efimovich Rasputin",
    "Gustav Kirchhoff": "G. R. Kirchhoff",
    "Hendrik Lorentz": "Hendrik Antoon Lorentz",
    "Hernan Cortes": "Hernando Cortes",
    "Honore de Balzac": "Honore Balzac",
    "Huldrych Zwingli": "Huldreich Zwingli",
    "J. J. Thomson": "Joseph John Thomson",
    "James McNeill Whistler": "James Abbott McNeill Whistler",
    "Jan Oort": "Jan Hendrix Oort",
    "John Pershing": "John Joseph Pershing",
    "Jons Jacob Berzelius": "Jons Jakob Berzelius",
    "Jose Clemente Orozco": "Jose Orozco",
    "Leon Foucault": "Jean Bernard Leon Foucault",
    "Li Bai": "Li Po",
    "Louis de Broglie": "Louis Victor de Broglie",
    "Maxim Gorky": "Maksim Gorky",
    "Nikolai Lobachevsky": "Nikolai Ivanovich Lobachevsky",
    "Nikolai Rimsky-Korsakov": "Nikolai Andreyevich Rimsky-Korsakov",
    "Paul Dirac": "Paul Adrien Maurice Dirac",
    "Pyotr Ilyich Tchaikovsky": "Peter Ilich Tchaikovsky",
    "Ralph Vaughan Williams": "Vaughan Williams",
    "Robert Goddard": "Robert Hutchings Goddard",
    "Robert Millikan": "Robert Andrews Millikan",
    "Sergei Prokofiev": "Sergei Sergeyevich Prokofiev",
    "Vasco da Gama": "Vasco da Gamma",
    "Virgil": "Vergil",
    "Werner Heisenberg": "Werner Karl Heisenberg",
    "Wilhelm Conrad Rontgen": "Wilhelm Konrad Rontgen",
    "Zhou Enlai": "Zhou En-lai",
}
TITLES = ("", "Sir ", "Dame ", "Count ")

# What WordNet may call them too.
CALLINGS = {
    "explorer": {"navigator"},
    "novelist": {"writer"},
    "painter": {"old master"},
    "physicist": {"nuclear physicist"},
    "playwright": {"dramatist"},
}
NATIONS = {
    "American": "United States|American",
    "Czech": "Czech(oslovakian)?",
    "English": "English(man)?",
    "Greek": "Greek|Greece|Athenian",
    "Indian": "Indian?",
    "Italian": "Italian|Florence",
    "Japanese": "Japan(ese)?",
    "Roman": "Rom(an|e)|Italy",
}


def occupations() -> Facts:
    """Raises where WordNet calls somebody anything else, too."""
    facts = []
    for calling, name in _named(CALLED, *({it: ", ".join(PEOPLE[it].values())} for it in PEOPLE)):
        said = {nouns().senses[kind].words[0] for kind in _person(name).instance_of}
        if said - CALLINGS.get(calling, set()) - {calling, "Athenian"}:
            raise ValueError(f"{name} is {said} to WordNet, not {calling}")
        facts.append((name, calling))
    return facts


def nationalities() -> Facts:
    """Raises where WordNet's gloss does not name the nation."""
    facts = []
    tables = (table for calling, table in PEOPLE.items() if calling not in OF_TWO_NATIONS)
    for nation, name in _named(OF_NATION, *tables):
        gloss = _person(name).gloss
        if not re.search(rf"\b({NATIONS.get(nation, nation)})\b", gloss):
            raise ValueError(f"{name} is not {nation} in: {gloss}")
        facts.append((name, nation))
    return facts


def _named(*tables: dict[str, str]) -> Iterator[tuple[str, str]]:
    for table in tables:
        for answer, names in table.items():
            yield from ((answer, name) for name in names.split(", "))


def _person(name: str) -> Sense:
    """The one person of that name."""
    usual = USUAL.get(name, name)
    found = {
        sense
        for title in TITLES
        for sense in nouns().instances(title + usual)
        if sense.file == PERSON
    }
    if len(found) != 1:
        raise ValueError(f"WordNet knows {len(found)} people called {usual}")
    return found.pop()

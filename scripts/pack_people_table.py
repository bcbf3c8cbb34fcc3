"""People of the past by what they were and of which nation, as WordNet 3.1 has them.

Left out: the living, namesakes, people of several callings or disputed nations (pack_people.py has
some of these for the one thing that is clear).
"""

PEOPLE = {
    "actor": {
        "American": "Clark Gable, Gary Cooper, Henry Fonda, Humphrey Bogart, James Dean, "
        "John Wayne, Spencer Tracy",
        "English": "Alec Guinness, David Garrick, John Gielgud, Laurence Olivier, Peter Sellers, "
        "Rex Harrison",
    },
    "actress": {
        "American": "Bette Davis, Gloria Swanson, Grace Kelly, Jean Harlow, Joan Crawford, "
        "Katharine Hepburn, Lillian Gish, Marilyn Monroe, Natalie Wood",
        "English": "Ellen Terry, Vivien Leigh",
        "French": "Sarah Bernhardt",
        "Italian": "Eleonora Duse",
        "Swedish": "Ingrid Bergman",
    },
    "architect": {
        "American": "Frank Lloyd Wright, Louis Sullivan",
        "Austrian": "Adolf Loos",
        "Belgian": "Victor Horta",
        "English": "Christopher Wren, Edwin Lutyens, Inigo Jones",
        "Finnish": "Alvar Aalto, Eliel Saarinen",
        "German": "Albert Speer",
        "Italian": "Andrea Palladio, Donato Bramante",
        "Spanish": "Antonio Gaudi",
    },
    "astronomer": {
        "American": "Clyde Tombaugh, George Ellery Hale, Maria Mitchell",
        "Danish": "Tycho Brahe",
        "Dutch": "Jan Oort",
        "English": "Arthur Eddington, Edmond Halley",
        "German": "Johannes Kepler",
        "Italian": "Giovanni Schiaparelli",
        "Swedish": "Anders Celsius",
    },
    "chemist": {
        "American": "Glenn T. Seaborg, Linus Pauling",
        "English": "Humphrey Davy, Joseph Priestley",
        "French": "Antoine Lavoisier",
        "German": "Fritz Haber, Otto Hahn, Robert Bunsen",
        "Russian": "Dmitri Mendeleev",
        "Swedish": "Jons Jacob Berzelius",
    },
    "composer": {
        "American": "Aaron Copland, Cole Porter, George Gershwin, John Cage, Samuel Barber, "
        "Scott Joplin",
        "Austrian": "Alban Berg, Franz Schubert, Joseph Haydn, Wolfgang Amadeus Mozart",
        "Czech": "Antonin Dvorak, Bedrich Smetana",
        "Danish": "Carl Nielsen",
        "English": "Arthur Sullivan, Ralph Vaughan Williams",
        "Finnish": "Jean Sibelius",
        "French": "Charles Gounod, Claude Debussy, Erik Satie, Georges Bizet, Hector Berlioz, "
        "Jean-Philippe Rameau, Maurice Ravel",
        "German": "Felix Mendelssohn, Johannes Brahms, Ludwig van Beethoven, Richard Strauss, "
        "Richard Wagner, Robert Schumann",
        "Hungarian": "Franz Lehar",
        "Italian": "Claudio Monteverdi, Gaetano Donizetti, Giacomo Puccini, Giuseppe Verdi, "
        "Vincenzo Bellini",
        "Mexican": "Carlos Chavez",
        "Norwegian": "Edvard Grieg",
        "Russian": "Dmitri Shostakovich, Mikhail Glinka, Modest Mussorgsky, "
        "Nikolai Rimsky-Korsakov, Pyotr Ilyich Tchaikovsky, Sergei Prokofiev",
    },
    "economist": {
        "American": "James Tobin, Thorstein Veblen",
        "Dutch": "Jan Tinbergen",
        "English": "David Ricardo, John Maynard Keynes, Thomas Malthus",
        "Scottish": "Adam Smith",
        "Swedish": "Gunnar Myrdal",
    },
    "explorer": {
        "American": "Meriwether Lewis, Robert Peary, William Clark",
        "Dutch": "Abel Tasman",
        "English": "George Vancouver, Henry Hudson, James Cook, Martin Frobisher",
        "French": "Jacques Cartier, Samuel de Champlain",
        "Norwegian": "Roald Amundsen",
        "Portuguese": "Bartholomeu Dias, Ferdinand Magellan, Vasco da Gama",
        "Scottish": "Mungo Park",
        "Spanish": "Vasco Nunez de Balboa",
    },
    "general": {
        "American": "Douglas MacArthur, George Custer, John Pershing, Omar Bradley, "
        "Robert E. Lee, William Tecumseh Sherman, Winfield Scott",
        "Roman": "Scipio Africanus",
    },
    "historian": {
        "American": "Barbara Tuchman",
        "English": "Edward Gibbon",
        "German": "Theodor Mommsen",
        "Greek": "Herodotus, Thucydides",
        "Roman": "Livy, Tacitus",
    },
    "mathematician": {
        "American": "Norbert Wiener",
        "English": "Alan Turing, George Boole, Thomas Bayes",
        "French": "Evariste Galois, Pierre de Fermat",
        "German": "Carl Friedrich Gauss, David Hilbert, Emmy Noether",
        "Irish": "William Rowan Hamilton",
        "Norwegian": "Niels Henrik Abel",
        "Russian": "Andrei Markov, Nikolai Lobachevsky",
        "Scottish": "John Napier",
        "Swiss": "Jakob Bernoulli, Leonhard Euler",
    },
    "novelist": {
        "American": "Edith Wharton, F. Scott Fitzgerald, Herman Melville, James Fenimore Cooper, "
        "John Steinbeck, Joseph Heller, Margaret Mitchell, Nathaniel Hawthorne, Ralph Ellison, "
        "Sinclair Lewis, William Faulkner",
        "English": "Anne Bronte, Anthony Trollope, Charles Dickens, Charlotte Bronte, "
        "D. H. Lawrence, Emily Bronte, Evelyn Waugh, Graham Greene, Henry Fielding, Jane Austen, "
        "Wilkie Collins, William Golding",
        "French": "Emile Zola, Gustave Flaubert, Honore de Balzac, Marcel Proust, Stendhal",
        "Norwegian": "Knut Hamsun, Sigrid Undset",
        "Russian": "Fyodor Dostoevsky, Ivan Turgenev, Leo Tolstoy",
    },
    "painter": {
        "American": "Andy Warhol, Georgia O'Keeffe, Grant Wood, Jackson Pollock, "
        "James McNeill Whistler, Roy Lichtenstein, Winslow Homer",
        "Austrian": "Gustav Klimt",
        "Belgian": "Rene Magritte",
        "Dutch": "Frans Hals, Hieronymus Bosch, Jan Vermeer, Rembrandt, Vincent van Gogh",
        "English": "John Constable, Joseph Mallord William Turner, Joshua Reynolds, "
        "Thomas Gainsborough",
        "French": "Claude Monet, Edgar Degas, Edouard Manet, Eugene Delacroix, Georges Braque, "
        "Georges Seurat, Gustave Courbet, Henri Matisse, Henri Rousseau, Jacques Louis David, "
        "Nicolas Poussin, Paul Cezanne, Paul Gauguin, Pierre Auguste Renoir",
        "Italian": "Caravaggio, Raphael, Sandro Botticelli, Tintoretto",
        "Japanese": "Hokusai",
        "Norwegian": "Edvard Munch",
        "Russian": "Wassily Kandinsky",
        "Spanish": "Diego Velazquez, Francisco Goya, Joan Miro, Salvador Dali",
    },
    "philosopher": {
        "Chinese": "Confucius",
        "Danish": "Soren Kierkegaard",
        "Dutch": "Baruch Spinoza",
        "English": "John Locke, Thomas Hobbes, William of Ockham",
        "French": "Denis Diderot, Simone Weil",
        "German": "Arthur Schopenhauer, Edmund Husserl, Friedrich Nietzsche, "
        "Georg Wilhelm Friedrich Hegel, Immanuel Kant",
        "Greek": "Anaxagoras, Aristotle, Democritus, Diogenes, Epictetus, Epicurus, Heraclitus, "
        "Plato, Socrates",
        "Italian": "Giordano Bruno",
        "Scottish": "David Hume",
    },
    "physicist": {
        "American": "John Bardeen, Richard Feynman, Robert Goddard, Robert Millikan, "
        "Robert Oppenheimer",
        "Austrian": "Christian Doppler, Erwin Schrodinger, Ludwig Boltzmann",
        "Danish": "Hans Christian Oersted, Niels Bohr",
        "Dutch": "Hendrik Lorentz",
        "English": "J. J. Thomson, James Prescott Joule, Paul Dirac",
        "French": "Charles Augustin de Coulomb, Henri Becquerel, Leon Foucault, Louis de Broglie, "
        "Pierre Curie",
        "German": "Georg Simon Ohm, Gustav Kirchhoff, Hans Geiger, Heinrich Hertz, Max Planck, "
        "Werner Heisenberg, Wilhelm Conrad Rontgen",
        "Italian": "Alessandro Volta, Amedeo Avogadro, Enrico Fermi, Evangelista Torricelli",
        "Japanese": "Hideki Yukawa",
        "Scottish": "James Clerk Maxwell",
    },
    "playwright": {
        "American": "Arthur Miller, Eugene O'Neill, Lillian Hellman, Tennessee Williams",
        "Belgian": "Maurice Maeterlinck",
        "English": "John Osborne",
        "French": "Moliere",
        "Greek": "Aeschylus, Aristophanes, Euripides, Sophocles",
        "Irish": "Richard Brinsley Sheridan, Sean O'Casey",
        "Roman": "Plautus",
        "Swedish": "August Strindberg",
    },
    "poet": {
        "American": "Allen Ginsberg, Emily Dickinson, Henry Wadsworth Longfellow, Robert Frost, "
        "Wallace Stevens, Walt Whitman, William Carlos Williams",
        "Chinese": "Li Bai",
        "English": "Alexander Pope, Edmund Spenser, Elizabeth Barrett Browning, Geoffrey Chaucer, "
        "Gerard Manley Hopkins, John Keats, John Milton, Percy Bysshe Shelley, Robert Browning, "
        "Samuel Taylor Coleridge, William Wordsworth",
        "French": "Arthur Rimbaud, Charles Baudelaire, Paul Verlaine",
        "Greek": "Pindar",
        "Italian": "Dante Alighieri",
        "Roman": "Horace, Ovid, Virgil",
        "Russian": "Alexander Pushkin",
        "Scottish": "Robert Burns",
    },
    "sculptor": {
        "American": "Alexander Calder",
        "French": "Aristide Maillol, Auguste Rodin",
        "Greek": "Phidias, Praxiteles",
        "Italian": "Benvenuto Cellini",
    },
    "singer": {
        "American": "Bessie Smith, Ella Fitzgerald, Janis Joplin, Johnny Cash, Mahalia Jackson, "
        "Sarah Vaughan",
        "French": "Edith Piaf",
    },
}

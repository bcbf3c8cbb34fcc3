"""Animals by class, things by kind, gods and heroes by mythology. Checked against WordNet 3.1."""

from __future__ import annotations

from pack_facts import Facts
from pack_wordnet import ANIMAL, PERSON, nouns

# Left out: what the neutral text mentions, and names that several classes share.
CLASS = {
    "amphibian": "axolotl, bullfrog, caecilian, frog, hellbender, newt, olm, salamander, "
    "spadefoot, toad, tree frog",
    "arachnid": "black widow, garden spider, harvestman, mite, scorpion, spider, tarantula, tick, "
    "wolf spider",
    "bird": "albatross, bald eagle, blue jay, budgerigar, bullfinch, buzzard, canary, cassowary, "
    "chaffinch, chicken, cockatoo, condor, coot, cormorant, crow, cuckoo, curlew, dodo, dove, "
    "duck, eagle, egret, emu, falcon, finch, flamingo, gannet, goldfinch, goose, grebe, grouse, "
    "gull, hawk, hen, heron, hoopoe, hornbill, ibis, jackdaw, jay, kestrel, kingfisher, "
    "kookaburra, lark, loon, macaw, magpie, mallard, meadowlark, nightingale, nuthatch, oriole, "
    "osprey, ostrich, owl, parakeet, parrot, partridge, pelican, penguin, petrel, pheasant, "
    "pigeon, plover, puffin, quail, raven, roadrunner, robin, rooster, sandpiper, seagull, "
    "skylark, sparrow, starling, stork, swallow, swan, tern, thrush, toucan, vulture, warbler, "
    "woodpecker, wren",
    "crustacean": "crayfish, fiddler crab, hermit crab, king crab, krill, lobster, prawn, shrimp, "
    "woodlouse",
    "fish": "anchovy, barracuda, carp, cod, coelacanth, eel, flounder, grouper, haddock, halibut, "
    "hammerhead, herring, mackerel, manta ray, marlin, minnow, mullet, perch, pike, piranha, "
    "salmon, sardine, sea bass, shark, sole, stickleback, stingray, sturgeon, trout, tuna, "
    "whale shark",
    "insect": "ant, aphid, bedbug, bee, beetle, bumblebee, butterfly, cicada, cockroach, "
    "dragonfly, earwig, firefly, flea, fruit fly, gnat, grasshopper, honeybee, hornet, housefly, "
    "ladybug, locust, louse, mantis, mayfly, midge, monarch butterfly, mosquito, moth, "
    "praying mantis, stag beetle, termite, tsetse fly, wasp, weevil",
    "mammal": "aardvark, alpaca, anteater, antelope, ape, armadillo, baboon, badger, bat, bear, "
    "beaver, bison, boar, bobcat, buffalo, bull, camel, capybara, caribou, cheetah, chimpanzee, "
    "chinchilla, chipmunk, civet, cougar, cow, coyote, deer, dingo, donkey, dormouse, dromedary, "
    "echidna, elephant, elk, ermine, ferret, fox, gazelle, gerbil, gibbon, giraffe, goat, "
    "gorilla, grizzly, guinea pig, hamster, hare, hedgehog, hippopotamus, horse, hyena, ibex, "
    "impala, jackal, jaguar, kangaroo, koala, lemming, lemur, leopard, lion, llama, lynx, "
    "mammoth, manatee, mandrill, marmoset, marmot, marten, meerkat, mole, mongoose, monkey, "
    "moose, mouse, mule, muskrat, narwhal, ocelot, okapi, opossum, orangutan, otter, ox, panda, "
    "panther, pig, platypus, polar bear, porcupine, porpoise, puma, rabbit, raccoon, rat, "
    "reindeer, rhinoceros, sea lion, seal, sheep, shrew, skunk, sloth, sperm whale, squirrel, "
    "stoat, tapir, tarsier, tiger, vole, wallaby, walrus, warthog, water buffalo, weasel, whale, "
    "wildebeest, wolf, wolverine, wombat, yak, zebra",
    "mollusk": "abalone, clam, cockle, conch, cuttlefish, mussel, nautilus, octopus, oyster, "
    "scallop, slug, snail, squid",
    "reptile": "alligator, anaconda, boa constrictor, caiman, chameleon, cobra, copperhead, "
    "coral snake, crocodile, diamondback, garter snake, gecko, iguana, king cobra, Komodo dragon, "
    "lizard, mamba, python, rattlesnake, sea turtle, skink, snake, snapping turtle, terrapin, "
    "tortoise, tuatara, turtle, viper, water moccasin",
}
# What WordNet calls a class, where it has another word for it.
CLASS_NAMES = {"mollusk": "mollusc"}

# Left out: words that as often mean another of these kinds, or something else altogether.
KIND = {
    "beverage": "absinthe, ale, beer, bourbon, brandy, cappuccino, champagne, cider, cocoa, "
    "eggnog, espresso, gin, ginger ale, lager, lemonade, liqueur, martini, mead, sake, sherry, "
    "tequila, vermouth, vodka, whiskey, wine",
    "cheese": "Brie, Camembert, cheddar, Edam, Emmenthal, gorgonzola, Gouda, Gruyere, Limburger, "
    "mozzarella, Parmesan, ricotta, Roquefort, Stilton",
    "color": "beige, crimson, cyan, magenta, maroon, mauve, puce, scarlet, ultramarine, vermilion",
    "dance": "cancan, conga, fandango, flamenco, foxtrot, gavotte, jitterbug, mambo, mazurka, "
    "minuet, polka, quadrille, rumba, samba, tango, tarantella, waltz",
    "disease": "anthrax, beriberi, bronchitis, chickenpox, cholera, diphtheria, gonorrhea, "
    "hepatitis, influenza, leprosy, leukemia, malaria, measles, mumps, pellagra, pneumonia, "
    "poliomyelitis, rabies, rubella, scarlet fever, scurvy, smallpox, syphilis, tetanus, "
    "trachoma, tuberculosis, typhoid, typhus, whooping cough, yellow fever",
    "fabric": "brocade, burlap, calico, cambric, canvas, cashmere, chiffon, chintz, corduroy, "
    "damask, denim, flannel, gabardine, gauze, gingham, linen, muslin, nylon, polyester, poplin, "
    "satin, seersucker, taffeta, tulle, tweed, velvet, velveteen",
    "flower": "aster, begonia, calendula, carnation, chrysanthemum, cornflower, cyclamen, "
    "daffodil, dahlia, daisy, delphinium, gladiolus, hyacinth, lily, marigold, orchid, peony, "
    "petunia, poppy, snapdragon, sunflower, tulip, zinnia",
    "fruit": "apricot, banana, blackberry, blueberry, boysenberry, cantaloupe, cherry, cranberry, "
    "currant, gooseberry, grape, grapefruit, guava, honeydew, kiwi fruit, kumquat, lemon, "
    "mandarin orange, mango, nectarine, papaya, peach, pear, persimmon, pineapple, plum, "
    "pomegranate, quince, raspberry, strawberry, tangerine, watermelon",
    "furniture": "armchair, bed, bookcase, chaise longue, chest of drawers, coffee table, couch, "
    "cradle, desk, dresser, footstool, loveseat, ottoman, rocking chair, sideboard, stool, "
    "wardrobe",
    "garment": "anorak, bathrobe, blouse, cardigan, cloak, jacket, kilt, kimono, overcoat, parka, "
    "poncho, pullover, raincoat, sarong, shawl, skirt, sundress, sweatshirt, toga, tunic, tuxedo, "
    "vest, waistcoat, windbreaker",
    "instrument": "accordion, bagpipe, balalaika, banjo, bassoon, bugle, cello, clarinet, "
    "clavichord, cornet, flute, glockenspiel, gong, guitar, harmonica, harp, harpsichord, lute, "
    "lyre, mandolin, marimba, oboe, piccolo, saxophone, sitar, tambourine, trombone, trumpet, "
    "tuba, ukulele, viola, violin, xylophone, zither",
    "sport": "archery, badminton, baseball, basketball, boxing, cricket, cycling, golf, "
    "gymnastics, ice hockey, jai alai, judo, lacrosse, rock climbing, rowing, rugby, skating, "
    "skiing, soccer, surfing, tennis, volleyball, water polo, wrestling",
    "tool": "awl, chisel, crowbar, hacksaw, hammer, handsaw, hoe, mallet, monkey wrench, pickax, "
    "pitchfork, rake, screwdriver, scythe, shovel, sickle, sledgehammer, spade, trowel, wrench",
    "tree": "acacia, alder, aspen, balsa, banyan, baobab, beech, birch, cedar, cypress, elm, "
    "eucalyptus, fir, ginkgo, hornbeam, larch, linden, mangrove, oak, pine, poplar, spruce, "
    "sycamore, teak, willow, yew",
    "vegetable": "artichoke, asparagus, bok choy, broccoli, cabbage, carrot, cauliflower, celery, "
    "chard, kale, kohlrabi, leek, lettuce, onion, parsnip, potato, radish, rutabaga, spinach, "
    "turnip",
    "vehicle": "ambulance, bicycle, bulldozer, chariot, fire engine, hearse, jeep, limousine, "
    "minivan, moped, motorcycle, pickup truck, rickshaw, scooter, sled, snowmobile, sports car, "
    "stagecoach, station wagon, taxi, toboggan, tractor, tricycle, unicycle, wagon",
    "weapon": "bayonet, bazooka, blunderbuss, bow and arrow, cannon, carbine, crossbow, cutlass, "
    "dagger, flamethrower, howitzer, lance, machine gun, musket, pistol, rapier, revolver, rifle, "
    "saber, scimitar, shotgun, spear, submachine gun, sword, tomahawk, torpedo",
}
# Words that WordNet files under a wider or another word.
KIND_NAMES = {
    "dance": {"dance", "dancing"},
    "disease": {"disease", "infection"},
    "flower": {"flower", "bulbous plant"},
    "fruit": {"edible fruit"},
    "garment": {"garment", "clothing"},
    "instrument": {"musical instrument"},
    "tool": {"tool", "lever"},
    "weapon": {"weapon", "weaponry", "gun"},
}

# Left out: gods of two peoples, and those that several peoples have under one name.
MYTHOLOGY = {
    "Celtic": "Amaethon, Angus Og, Arawn, Arianrhod, Boann, Dagda, Danu, Gwydion, Llyr, Manannan, "
    "Manawydan, Morrigan",
    "Egyptian": "Amen-Ra, Anubis, Aten, Bast, Geb, Horus, Isis, Nephthys, Nut, Osiris, Ptah, Ra, "
    "Set, Thoth",
    "Greek": "Aegisthus, Aeolus, Agamemnon, Alcyone, Andromeda, Antigone, Aphrodite, Ares, "
    "Ariadne, Artemis, Athena, Atreus, Atropos, Augeas, Bellerophon, Boreas, Calliope, Cassandra, "
    "Cassiopeia, Cepheus, Clio, Clotho, Clytemnestra, Creon, Cronus, Daedalus, Demeter, Dionysus, "
    "Electra, Eos, Erato, Erebus, Eris, Eros, Eurydice, Euterpe, Gaea, Galatea, Ganymede, Hades, "
    "Hebe, Hecate, Hector, Helios, Hephaestus, Hera, Hermes, Hestia, Hygeia, Hyperion, Hypnos, "
    "Iapetus, Icarus, Iphigenia, Jason, Jocasta, Lachesis, Laertes, Laius, Laocoon, Leander, "
    "Leda, Medea, Melpomene, Menelaus, Mnemosyne, Narcissus, Nemesis, Nereus, Nestor, Nike, "
    "Niobe, Nyx, Oceanus, Odysseus, Oedipus, Orestes, Orpheus, Pandora, Pasiphae, Patroclus, "
    "Pegasus, Penelope, Persephone, Perseus, Phaethon, Philemon, Polyhymnia, Poseidon, Priam, "
    "Procrustes, Prometheus, Proteus, Psyche, Pygmalion, Sarpedon, Selene, Tantalus, Terpsichore, "
    "Tethys, Thalia, Thanatos, Themis, Theseus, Tiresias, Tyche, Zeus",
    "Hindu": "Aditi, Agni, Arjuna, Bhaga, Brahma, Brihaspati, Devi, Durga, Ganesh, Gauri, "
    "Hanuman, Indra, Kali, Kama, Kartikeya, Lakshmi, Parjanya, Parvati, Prajapati, Pushan, Rahu, "
    "Rudra, Savitar, Shakti, Skanda, Surya, Ushas, Varuna, Vayu, Vishnu",
    "Japanese": "Amaterasu, Hachiman, Izanagi, Izanami, Ninigi",
    "Mesopotamian": "Adad, Adapa, Anshar, Antum, Anu, Apsu, Aruru, Ashur, Damkina, Dumuzi, Enki, "
    "Enlil, Ereshkigal, Girru, Inanna, Ishtar, Kishar, Marduk, Nabu, Nammu, Namtar, Nergal, "
    "Ningal, Ningirsu, Ningishzida, Ninhursag, Ninurta, Sarpanitu, Shamash, Tiamat, Utnapishtim, "
    "Utu",
    "Norse": "Balder, Bragi, Elli, Fafnir, Fenrir, Forseti, Frey, Freya, Frigg, Heimdall, Hel, "
    "Hoenir, Idun, Loki, Njord, Odin, Sif, Sigurd, Thor, Tyr, Ymir",
    "Roman": "Aurora, Ceres, Cupid, Diana, Faunus, Fortuna, Janus, Juno, Jupiter, Luna, Mars, "
    "Mercury, Minerva, Neptune, Proserpina, Remus, Romulus, Saturn, Tellus, Venus, Vesta, Vulcan",
}
# A mark of each mythology: words above the name, or words that its gloss has.
MARKS = {
    "Celtic": {"Celtic deity"},
    "Egyptian": {"Egyptian deity"},
    "Greek": {"Greek deity", "Greek mythology", "Greek god", "Muse", "Titan", "Titaness"},
    "Hindu": {"Hindu deity", "Hindu mythology"},
    "Japanese": {"Japanese deity"},
    "Mesopotamian": {"Semitic deity"},
    "Norse": {"Norse deity", "Norse mythology"},
    "Roman": {"Roman deity", "Roman mythology"},
}


def classes() -> Facts:
    """Raises where WordNet has no such animal, or puts one of that name into another class."""
    facts = []
    known = {CLASS_NAMES.get(name, name) for name in CLASS}
    for class_, names in CLASS.items():
        for name in names.split(", "):
            above = [
                nouns().kinds_of(sense) & known
                for sense in nouns().of_word[name]
                if sense.file == ANIMAL
            ]
            found = set[str]().union(*above)
            if found != {CLASS_NAMES.get(class_, class_)}:
                raise ValueError(f"{name} is {found or 'no animal'} to WordNet, not {class_}")
            facts.append((name, class_))
    return facts


def kinds() -> Facts:
    """Raises where no sense of the word is of that kind to WordNet."""
    facts = []
    for kind, names in KIND.items():
        for name in names.split(", "):
            above = (nouns().kinds_of(sense) for sense in nouns().of_word[name])
            if not any(words & KIND_NAMES.get(kind, {kind}) for words in above):
                raise ValueError(f"{name} is no {kind} to WordNet")
            facts.append((name, kind))
    return facts


def mythologies() -> Facts:
    """Raises where WordNet does not place the name there, or places a namesake elsewhere."""
    facts = []
    for mythology, names in MYTHOLOGY.items():
        for name in names.split(", "):
            found = {other for other in MARKS if _marked(name, MARKS[other])}
            if found != {mythology}:
                raise ValueError(f"{name} is in {found} to WordNet, not {mythology}")
            facts.append((name, mythology))
    return facts


def _marked(name: str, marks: set[str]) -> bool:
    return any(
        nouns().kinds_of(sense) & marks or any(mark in sense.gloss for mark in marks)
        for sense in nouns().instances(name)
        if sense.file == PERSON
    )

"""The templates of the packs on people, animals, things, myths, languages, and names of places.

They follow what was learned in pack_templates.py, but no model has chosen among them. `a` never
stands right before [Y], as some answers would need `an`.
"""

from __future__ import annotations

MORE: dict[str, tuple[list[str], list[str]]] = {
    "class": (
        [
            "In biology, the [X] belongs to the class of animal called [Y].",
            "Among the kinds of animals, the [X] is a type of [Y].",
            "Every child knows that the [X] is a kind of [Y].",
            "To a zoologist, the [X] is one sort of [Y].",
            "The animal known as the [X] is a species of [Y].",
            "The book of animals lists the [X] as a form of [Y].",
            "[Y] is the class of animal to which the [X] belongs.",
            "The word [Y] tells what kind of animal the [X] is.",
            "One well-known sort of [Y] is the [X].",
            "The kind of [Y] in this picture is the [X].",
        ],
        [
            "In the animal kingdom, the [X] is a kind of [Y].",
            "Scientists agree that the [X] is a type of [Y].",
            "At the museum, a sign says that the [X] is some kind of [Y].",
        ],
    ),
    "demonym": (
        [
            "The adjective for something that comes from [X] is [Y].",
            "Something that comes from [X] is called [Y].",
            "A person who was born in [X] is described as [Y].",
            "The culture of [X] is known as [Y].",
            "When a thing is from [X], it is said to be [Y].",
            "The adjective that belongs to the name of [X] is [Y].",
            "[Y] is the adjective for [X].",
            "The word [Y] means that something is from [X].",
            "They cooked some [Y] dishes, as people do in [X].",
            "Many [Y] songs were first sung in [X].",
        ],
        [
            "Anything that is made in [X] may be called [Y].",
            "The food that people eat in [X] is described as [Y].",
            "Those who come from [X] call themselves [Y].",
        ],
    ),
    "homeland": (
        [
            "Most speakers of [X] live in the country of [Y].",
            "The [X] language is spoken mainly in the country of [Y].",
            "The home of the [X] language is the country of [Y].",
            "To hear people speak [X], travel to the country of [Y].",
            "Children who grow up with [X] usually live in the country of [Y].",
            "On a map of languages, [X] is found in the country of [Y].",
            "[Y] is the country where most speakers of [X] live.",
            "[Y] is the country in which [X] is spoken the most.",
            "In [Y] there are more speakers of [X] than anywhere else.",
            "She went to [Y] in order to learn [X].",
        ],
        [
            "The largest number of people who speak [X] live in the country of [Y].",
            "Linguists who study [X] often visit the country of [Y].",
            "The language called [X] is at home in the country of [Y].",
        ],
    ),
    "kind": (
        [
            "The word [X] stands for a kind of [Y].",
            "In the dictionary, [X] is explained as a type of [Y].",
            "The word [X] is the name of one sort of [Y].",
            "Everybody knows that [X] means some kind of [Y].",
            "When people say [X], they speak of a certain kind of [Y].",
            "The thing that is called [X] is a kind of [Y].",
            "[Y] is the kind of thing that [X] names.",
            "The kind of [Y] that they talked about is called [X].",
            "One sort of [Y] is called [X].",
            "The list of each sort of [Y] has the word [X] in it.",
        ],
        [
            "The name [X] is given to one type of [Y].",
            "If you look up [X], you will read about a kind of [Y].",
            "In English, [X] is the name for a type of [Y].",
        ],
    ),
    "mythology": (
        [
            "The name [X] comes from the mythology that is called [Y].",
            "The myths in which [X] appears are [Y].",
            "In the world of myths, the figure of [X] is [Y].",
            "The old stories that tell of [X] are [Y].",
            "By origin, the mythical figure [X] is [Y].",
            "The tradition to which the legendary [X] belongs is [Y].",
            "In [Y] mythology there is a figure called [X].",
            "[Y] mythology is where the name [X] comes from.",
            "The [Y] myths tell the story of [X].",
            "A book of [Y] legends has a chapter about [X].",
        ],
        [
            "The mythology that speaks of [X] is [Y].",
            "The ancient legends about [X] are [Y].",
            "Of all mythologies, the one that has [X] in it is [Y].",
        ],
    ),
    "nationality": (
        [
            "By nationality, [X] was [Y].",
            "The nationality of [X] was [Y].",
            "[X] was famous, and by nationality was [Y].",
            "As for nationality, the famous [X] was [Y].",
            "In the encyclopedia, the nationality of [X] is given as [Y].",
            "In the book of famous people, the nationality of [X] is [Y].",
            "[Y] is the nationality of [X].",
            "Among famous [Y] people of the past is [X].",
            "The [Y] nation is proud of [X].",
            "Many [Y] schools are named after [X].",
        ],
        [
            "Historians write that the nationality of [X] was [Y].",
            "Under nationality, the entry on [X] says [Y].",
            "As to the nation of origin, [X] was [Y].",
        ],
    ),
    "occupation": (
        [
            "By profession, [X] was a famous [Y].",
            "[X] is remembered today as a great [Y].",
            "People know the name of [X], the famous [Y].",
            "In the encyclopedia, [X] is described as a celebrated [Y].",
            "The museum has a portrait of [X], the great [Y].",
            "[X] became known as a gifted [Y].",
            "[Y] was the occupation of [X].",
            "The famous [Y] of that time was [X].",
            "A book about the [Y] named [X] was published.",
            "Of every [Y] of that age, the most famous is [X].",
        ],
        [
            "The world remembers [X] as a brilliant [Y].",
            "By occupation, [X] was a well-known [Y].",
            "The street was named after [X], the celebrated [Y].",
        ],
    ),
    "script": (
        [
            "The script in which [X] is written is called [Y].",
            "The [X] language is written in a script called [Y].",
            "Books in [X] are printed in the script known as [Y].",
            "The name of the script that is used for [X] is [Y].",
            "The letters that are used to write [X] are [Y].",
            "People who read [X] read a script called [Y].",
            "[Y] is the script that is used to write [X].",
            "[Y] letters are used to write [X].",
            "The [Y] script is the one in which [X] is written.",
            "He learned the [Y] script so that he could read [X].",
        ],
        [
            "Newspapers in [X] use the script called [Y].",
            "To write a letter in [X], you need the script called [Y].",
            "The writing system of the [X] language is [Y].",
        ],
    ),
    "state": (
        [
            "The city of [X] is in the state of [Y].",
            "The city of [X] is located in the state of [Y].",
            "The American city of [X] belongs to the state of [Y].",
            "On a map of the United States, [X] is in the state of [Y].",
            "She was born in the city of [X], in the state of [Y].",
            "The streets of [X] are in the state of [Y].",
            "[Y] is the state in which the city of [X] lies.",
            "[Y] is the American state where [X] is located.",
            "Among the cities of [Y] is the city of [X].",
            "They drove through [Y] to see the city of [X].",
        ],
        [
            "The people of the city of [X] live in the state of [Y].",
            "Those who move to [X] move to the state of [Y].",
            "The mayor of [X] wrote to the governor of the state of [Y].",
        ],
    ),
}

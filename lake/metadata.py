"""The metadata of a dataset: the schema of ``dataset.yaml``, its vocabularies and the dataset's id.

The fields are those that nano-org asks for on upload (doi:10.1038/s41467-025-63674-x) and those that a
deposit in ShareLoc needs beside them (authors, contact, licence, tags, links).
"""

import difflib
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import yaml
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

MODALITIES = ("PALM", "dSTORM", "STORM", "PAINT", "DNA-PAINT", "MINFLUX", "other")
"""Imaging methods that a dataset may name, spelled as they are stored."""

COMPARED = ("fluorophore", "modality", "localization_software", "drift_corrected", "blink_corrected")
"""Fields that change lambda although the protein's organization is the same."""

# Characters of the longest id: it names a folder, and stays readable in a table.
_SLUG_LENGTH = 80

# Camera pixels in the sample: 100 to 160 nm in practice, down to about 10 nm for a rendered image. A value
# outside is another unit, or the camera's own pixel of several um.
_PIXEL_SIZE_NM = (10.0, 1000.0)

# Accession numbers as UniProt defines them, with the suffix of an isoform.
_UNIPROT = re.compile(r"([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})(-[0-9]+)?")
_DOI = re.compile(r"(?:(?:https?://)?(?:dx\.)?doi\.org/|doi:\s*)?(10\.[0-9]{4,9}/\S+)", re.IGNORECASE)
# The address may stand beside a name: Jane Doe <jane@lab.org>.
_CONTACT = r"(.*[\s<])?([^@\s<>]+@[^@\s<>]+\.[^@\s<>]+|https?://\S+)>?"
_LETTER = re.compile(r"(?:GREEK|LATIN) (?:SMALL|CAPITAL) (?:LETTER|LIGATURE) (?:FINAL |DOTLESS )?([A-Z]+)( WITH .*)?")

_TEMPLATE = """\
# The metadata of one dataset: one protein, imaged and processed in one way.
# Needed: title, modality and protein. Leave out, or leave empty, what you do not know.
title: {title}  # the dataset's id is made of it
modality: dSTORM  # {modalities}
protein: TIGIT  # the protein that was localized
uniprot: Q495A1  # UniProt accession
cell_type: primary human NK cell
fluorophore: Alexa Fluor 647
localization_software: ThunderSTORM  # or SMAP, Picasso, DECODE, rapidSTORM, ...
drift_corrected: yes
blink_corrected: no  # yes when blinks of one molecule were merged
pixel_size_nm: 100  # size of a camera pixel in the sample
antibodies: []  # one text each: target, clone, maker or RRID
description: >-
  Resting cells on poly-L-lysine, fixed with 4 % paraformaldehyde.
doi:  # of the paper or of the data
contact:  # an e-mail address or a link
raw_data:  # where the raw images are
license: CC-BY-4.0  # an SPDX expression
authors: []
tags: []
links: []
live_cell: no  # lambda compares fixed cells only
"""

# What to say for pydantic's own findings, by the first word of their type.
_FINDINGS = {
    "string": "a text expected; put it in quotes",
    "bool": "yes or no expected; leave the line out if it is unknown",
    "float": "a number expected, such as 117",
    "tuple": "a list of texts expected, such as [EGFR, two-colour]",
}


def _line(value: str) -> str:
    value = " ".join(value.split())
    if not value.isprintable():
        raise ValueError("a line of printable characters expected")
    return value


def _title(value: str) -> str:
    if not _words(value):
        raise ValueError("a Latin letter or digit is needed, for the dataset's id")
    return value


def _modality(value: str) -> str:
    names = {_bare(name): name for name in MODALITIES}
    if _bare(value) not in names:
        choices = f"choose {', '.join(MODALITIES[:-1])} or {MODALITIES[-1]}"
        raise ValueError(f"{_suggestion(value, MODALITIES)}{choices}")
    return names[_bare(value)]


def _uniprot(value: str) -> str:
    if not _UNIPROT.fullmatch(value.upper()):
        raise ValueError("a UniProt accession expected, such as P00533, not an entry name")
    return value.upper()


def _pixel_size_nm(value: float) -> float:
    low, high = _PIXEL_SIZE_NM
    if low <= value <= high:
        return value
    # um, m and pm, in the order of how often they are met.
    meant = [value * factor for factor in (1e3, 1e9, 1e-3) if low <= value * factor <= high]
    way_out = f"did you mean {meant[0]:.6g}?" if meant else f"{low:g} to {high:,g} in the sample"
    raise ValueError(f"nm expected, {way_out}")


def _doi(value: str) -> str:
    match = _DOI.fullmatch(value)
    if match is None:
        raise ValueError("a DOI expected, such as 10.1038/s41467-025-63674-x")
    return match[1]


def _matching(pattern: str, expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.IGNORECASE):
            raise ValueError(f"{expected} expected")
        return value

    return AfterValidator(check)


def _license(value: str) -> str:
    try:
        return str(canonicalize_license_expression(value))
    except InvalidLicenseExpression:
        raise ValueError("an SPDX expression expected, such as CC-BY-4.0 or CC0-1.0") from None


def _fixed(value: bool) -> bool:
    if value:
        raise ValueError("only fixed cells can be compared, as in nano-org; leave this dataset out")
    return value


type _Line = Annotated[str, AfterValidator(_line)]
_OneOrMore = BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
type _Lines = Annotated[tuple[_Line, ...], _OneOrMore]
type _Link = Annotated[_Line, _matching(r"(https?|ftp|s3)://\S+", "a link that starts with https:// or s3://")]


class DatasetMetadata(BaseModel):
    """What a ``dataset.yaml`` says about a dataset.

    Texts are stripped and their white space is collapsed (not in ``description``). A field that is absent,
    empty or ``null`` is unset: None, or an empty tuple for the lists.

    Attributes
    ----------
    title : str
        Name of the dataset; its :func:`slug` is the dataset's id.
    modality : str
        One of :data:`MODALITIES`, in any case and with any hyphens.
    protein : str
        The protein that was localized.
    uniprot : str or None
        UniProt accession of the protein.
    cell_type, fluorophore, localization_software, raw_data : str or None
        Free texts.
    drift_corrected, blink_corrected : bool or None
        Whether the localizations were corrected; None when unknown.
    pixel_size_nm : float or None
        Camera pixel in the sample, 10 to 1,000 nm.
    antibodies, authors, tags, links : tuple of str
        A single text is taken for a list of one; links start with https:// or the like.
    description : str or None
        The experiment, in any number of lines.
    doi, contact, license : str or None
        DOI without a prefix; e-mail address or link; SPDX expression in its canonical spelling.
    live_cell : bool
        Always False: live cells are refused.

    Raises
    ------
    pydantic.ValidationError
        A ValueError of several lines; :func:`read_metadata` makes it one.

    Examples
    --------
    >>> metadata = DatasetMetadata(title="TIGIT on NK cells", modality="dna paint", protein="TIGIT")
    >>> metadata.modality, metadata.fluorophore, metadata.tags
    ('DNA-PAINT', None, ())
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    title: Annotated[_Line, AfterValidator(_title)]
    modality: Annotated[_Line, AfterValidator(_modality)]
    protein: _Line
    uniprot: Annotated[_Line, AfterValidator(_uniprot)] | None = None
    cell_type: _Line | None = None
    fluorophore: _Line | None = None
    localization_software: _Line | None = None
    drift_corrected: bool | None = None
    blink_corrected: bool | None = None
    pixel_size_nm: Annotated[float, AfterValidator(_pixel_size_nm)] | None = None
    antibodies: _Lines = ()
    description: str | None = None
    doi: Annotated[_Line, AfterValidator(_doi)] | None = None
    contact: Annotated[_Line, _matching(_CONTACT, "an e-mail address or a link")] | None = None
    raw_data: _Line | None = None
    license: Annotated[_Line, AfterValidator(_license)] | None = None
    authors: _Lines = ()
    tags: _Lines = ()
    links: Annotated[tuple[_Link, ...], _OneOrMore] = ()
    live_cell: Annotated[bool, AfterValidator(_fixed)] = False

    @model_validator(mode="before")
    @classmethod
    def _without_unset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None and str(value).strip()}


def read_metadata(text: str, name: str) -> DatasetMetadata:
    """Read and check the text of a ``dataset.yaml``.

    Parameters
    ----------
    text : str
        YAML text: one mapping of the fields of :class:`DatasetMetadata`.
    name : str
        Name of the file, for messages.

    Raises
    ------
    ValueError
        The text is no YAML mapping (with the line), names a key twice, or breaks the schema: then the one
        line of the message holds all problems.

    Examples
    --------
    >>> read_metadata("{title: TIGIT NK, modality: PALM, protein: TIGIT}", "dataset.yaml").protein
    'TIGIT'
    >>> read_metadata("{title: TIGIT NK, modality: PLAM}", "dataset.yaml")
    Traceback (most recent call last):
    ValueError: dataset.yaml: modality is 'PLAM': did you mean 'PALM'? choose PALM, dSTORM, STORM, PAINT,
    DNA-PAINT, MINFLUX or other; protein is missing
    """
    fields = _read_yaml(text, name)
    try:
        return DatasetMetadata.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(_problem(finding) for finding in error.errors(include_url=False))
        raise ValueError(f"{name}: {problems}") from None


def slug(title: str) -> str:
    """Return the id of the dataset that has a title.

    Latin letters lose their accents, Greek letters are spelled out (but µ before a unit is u), and
    everything else between letters and digits becomes one hyphen.

    Parameters
    ----------
    title : str
        Title of a dataset. Titles that differ only in signs have the same slug.

    Returns
    -------
    str
        1 to 80 characters of ``[a-z0-9-]``, with a letter or digit at both ends.

    Raises
    ------
    ValueError
        The title has no Latin or Greek letter and no digit.

    Examples
    --------
    >>> slug("β-tubulin in CD4+ T cells, 5 µm")
    'beta-tubulin-in-cd4-t-cells-5-um'
    """
    words = _words(title)
    if not words:
        raise ValueError(f"title {title!r} has no Latin letter or digit to make a dataset id of; add one")
    return words[:_SLUG_LENGTH].rstrip("-")


def template(title: str = "TIGIT on resting NK cells") -> str:
    """Return the text of a filled-in ``dataset.yaml`` with comments, which validates as it stands.

    Parameters
    ----------
    title : str
        Title to fill in, such as the name of the dataset's folder.

    Examples
    --------
    >>> read_metadata(template("NKp30: NK"), "dataset.yaml").title
    'NKp30: NK'
    """
    # A width beyond any title keeps the quoted text on one line.
    quoted = yaml.safe_dump(title, default_style='"', allow_unicode=True, width=10**6).strip()
    return _TEMPLATE.format(title=quoted, modalities=" | ".join(MODALITIES))


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Describe where two datasets differ in the fields of :data:`COMPARED`.

    Parameters
    ----------
    a, b : mapping
        Metadata of the reference and of the dataset beside it, from :meth:`DatasetMetadata.model_dump` or a
        row of a table. A missing key, None and NaN are unknown; unknown on both sides is no difference.

    Returns
    -------
    str
        ``"field: value of b, not value of a"`` for each difference, joined by ``"; "``; empty when there is
        none. Case, spaces and hyphens make no difference.

    Examples
    --------
    >>> differences({"fluorophore": "Alexa Fluor 647", "drift_corrected": True},
    ...             {"fluorophore": "CF568", "drift_corrected": False})
    'fluorophore: CF568, not Alexa Fluor 647; drift_corrected: no, not yes'
    """
    pairs = ((field, _shown(a.get(field)), _shown(b.get(field))) for field in COMPARED)
    return "; ".join(f"{field}: {ours}, not {ref}" for field, ref, ours in pairs if _bare(ref) != _bare(ours))


def _shown(value: Any) -> str:
    # By text, because tables hand out NumPy booleans, NaN and pandas.NA for the same three answers.
    words = {"True": "yes", "False": "no", "None": "unknown", "nan": "unknown", "<NA>": "unknown"}
    return words.get(str(value), str(value))


def _bare(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text).casefold()


def _words(title: str) -> str:
    text = re.sub(r"[µμ](?=[mMgGlLsS]\b)", "u", title)
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(_ascii(character) for character in text if not unicodedata.combining(character))
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def _ascii(character: str) -> str:
    if character.isascii():
        return character
    # Unicode writes lambda without its b.
    match = _LETTER.fullmatch(unicodedata.name(character, "").replace("LAMDA", "LAMBDA"))
    return match[1].lower() if match else "-"


def _suggestion(word: str, choices: Iterable[str]) -> str:
    names = {choice.casefold(): choice for choice in choices}
    # The cutoff is difflib's scale from 0 to 1: at 0.5 'software' still finds 'localization_software'.
    close = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.5)
    return f"did you mean {names[close[0]]!r}? " if close else ""


def _read_yaml(text: str, name: str) -> dict[str, Any]:
    # Not the C loader: 100,000 open brackets crash the process there, and here it would save 1 ms a file.
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        fields = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1} is" if mark else "the file is"
        reason = " ".join(str(getattr(error, "problem", error)).split())
        raise ValueError(f"{name}: {where} not readable as YAML: {reason}; put texts in quotes") from None
    if not isinstance(fields, dict):
        raise ValueError(  # noqa: TRY004 - the file's content is wrong, not an argument's type
            f"{name}: the file holds {reprlib.repr(fields)}; lines 'title: ...', 'modality: ...' are needed"
        )
    # YAML forbids a repeated key, PyYAML takes the last one in silence.
    assert isinstance(node, yaml.MappingNode)
    counts = Counter(key.value for key, _ in node.value)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(f"{name}: {', '.join(repeated)} stands there more than once; keep one line of each")
    return {str(key): value for key, value in fields.items()}


def _problem(finding: Mapping[str, Any]) -> str:
    field, *items = finding["loc"] or ("the metadata",)
    if finding["type"] == "missing":
        return f"{field} is missing"
    if finding["type"] == "extra_forbidden":
        way_out = _suggestion(str(field), DatasetMetadata.model_fields) or "put it in the description"
        return f"unknown key {reprlib.repr(field)}: {way_out.strip()}"
    where = f"item {items[0] + 1} of {field}" if items and isinstance(items[0], int) else field
    if finding["type"] == "value_error":
        message = str(finding["ctx"]["error"])
    else:
        message = _FINDINGS.get(finding["type"].partition("_")[0], finding["msg"])
    return f"{where} is {reprlib.repr(finding['input'])}: {message}"

"""What docstrings say of parameters and fields, and where it stands in the schema."""

import dataclasses
import enum
import functools
import json

from pydantic import BaseModel, Field

from mbxai.tools import Tool
from mbxai.tools.schema._docstring import read_docstring


def test_a_class_and_its_constructor_both_describe_the_parameters() -> None:
    class Mailer:
        """Sends mail.

        Args:
            host: Said by the class.
        """

        def __init__(self, host: str, port: int) -> None:
            """Connect.

            Args:
                host: Said by the constructor.
                port: Where it listens.
            """

    tool = Tool.from_function(Mailer)
    assert tool.description == "Sends mail."
    assert tool.schema["properties"] == {
        "host": {"type": "string", "description": "Said by the class."},
        "port": {"type": "integer", "description": "Where it listens."},
    }


def test_the_class_of_a_callable_object_describes_it_where_its_method_does_not() -> None:
    class Adder:
        """Adds.

        :param left: The first.
        """

        def __call__(self, left: int, right: int) -> int:
            return left + right

    tool = Tool.from_function(Adder())
    assert tool.description == "Adds."
    assert tool.schema["properties"]["left"]["description"] == "The first."
    partial = Tool.from_function(functools.partial(Adder(), 1), name="add")
    assert partial.description == "Adds."


def test_attributes_of_a_class_describe_its_fields_where_fields_do_not() -> None:
    class Base(BaseModel):
        """A base.

        Attributes:
            key: From the base.
        """

        key: str

    class Parcel(Base):
        """A parcel.

        It is sent.

        :ivar weight: In grams.
        :ivar to: Not this.
        """

        weight: int = Field(alias="grams")
        to: str = Field(description="Said by the field.")

    def send(parcel: Parcel, fast: bool) -> None: ...

    assert Tool("tool", "", send).schema["properties"]["parcel"] == {
        "type": "object",
        "description": "A parcel.\n\nIt is sent.",
        "properties": {
            "key": {"type": "string", "description": "From the base."},
            "grams": {"type": "integer", "description": "In grams."},
            "to": {"type": "string", "description": "Said by the field."},
        },
        "required": ["key", "grams", "to"],
    }


def test_flags_are_described_by_name() -> None:
    class Access(enum.IntFlag):
        """What one may do."""

        READ = 1
        WRITE = 4

    class Wide(enum.Flag):
        A, B, C, D, E = (1 << shift for shift in range(5))

    def function(access: Access, wide: Wide, other: Access = Access.READ) -> None: ...

    properties = Tool("tool", "", function).schema["properties"]
    assert properties["access"] == {
        "type": "integer",
        "enum": [0, 1, 4, 5],
        "description": "What one may do. Sum of: READ = 1, WRITE = 4.",
    }
    assert properties["wide"] == {
        "type": "integer",
        "minimum": 0,
        "description": "Sum of: A = 1, B = 2, C = 4, D = 8, E = 16.",
    }
    assert Tool("tool", "", function).signature.validate(json.dumps({"access": 5, "wide": 17})) == {
        "access": Access.READ | Access.WRITE,
        "wide": Wide.A | Wide.E,
    }


def test_sections_that_are_no_parameters_are_left_out() -> None:
    text = read_docstring(
        """Do it.

        Longer.

        Args:
            x: An x.
                Goes on.

        Other Parameters:
            y: A y.

        Returns:
            Nothing: at all.

        Raises:
            ValueError: Always.
        """
    )
    assert text.summary == "Do it.\n\nLonger."
    assert text.parameters == {"x": "An x. Goes on.", "y": "A y."}


def test_two_parameters_of_one_description_are_both_described() -> None:
    text = read_docstring("Do it.\n\nParameters\n----------\na, *b : int\n    Two.\n")
    assert text.parameters == {"a": "Two.", "b": "Two."}


def test_text_of_no_layout_is_all_summary() -> None:
    assert read_docstring("Just: text\n   with: colons").summary.startswith("Just: text")
    assert read_docstring(None).summary == read_docstring("  \n").summary == ""


def test_a_section_without_a_body_does_no_harm() -> None:
    text = "Do it.\n\nKeyword Args:\nnothing\n"
    assert read_docstring(text).summary == text.strip()
    assert read_docstring("Do it.\n\n:param x:\n").parameters == {}


def test_a_docstring_that_only_names_fields_describes_nothing_else() -> None:
    class Parcel(BaseModel):
        """
        Attributes:
            weight: In grams.
        """

        weight: int
        to: str

    def send(parcel: Parcel, fast: bool) -> None: ...

    parcel = Tool("tool", "", send).schema["properties"]["parcel"]
    assert parcel["properties"]["weight"] == {"type": "integer", "description": "In grams."}
    assert parcel["properties"]["to"] == {"type": "string"}


def test_a_model_that_is_itself_the_function_describes_its_fields() -> None:
    class Parcel(BaseModel):
        """A parcel."""

        weight: int = Field(alias="grams", description="How heavy.", ge=0)
        to: str = "me"

    tool = Tool.from_function(Parcel)
    assert tool.description == "A parcel."
    assert tool.schema["properties"] == {
        "grams": {"type": "integer", "minimum": 0, "description": "How heavy."},
        "to": {"type": "string", "default": "me"},
    }
    _, keywords = tool.signature.bind(tool.signature.validate('{"grams": 3}'))
    assert Parcel(**keywords).weight == 3


def test_a_lone_model_describes_a_function_that_says_nothing() -> None:
    class Order(BaseModel):
        """An order of a customer."""

        item: str

    def place(order: Order) -> None: ...

    assert Tool.from_function(place).description == "An order of a customer."
    assert Tool.from_function(place, description="Buy.").description == "Buy."


def test_what_python_writes_into_a_dataclass_describes_nothing() -> None:
    @dataclasses.dataclass
    class Point:
        x: float

    assert Tool.from_function(Point).description == ""

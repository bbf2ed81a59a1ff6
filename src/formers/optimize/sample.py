"""A few texts of different kinds and lengths, to find out on how a model computes them."""

SAMPLE = (
    "The film was a good one, and nobody left early.",
    "What time is it? I do not know.",
    "In 1998 the company sold 3,500 units (about $2.4 million), twice as many as in the year before.",
    "No!",
    "She wrote the letter at night, read it again in the morning, and then put it away for good.",
    "Install the package, import it, and call the function with a list of strings.",
    "A man is playing a guitar on the street.",
    "The treaty, which neither of the two countries had wanted at first, was signed in Vienna in the spring of 1815.",
    "terrible service, cold food and a waiter who would not listen",
    "Water boils at 100 degrees Celsius at sea level; on a high mountain it boils sooner.",
    "How do I change my password?",
    "An honest, funny and sometimes very sad book about growing up between two languages.",
    "The bank raised its rates by a quarter of a point, and shares fell.",
    "Dr. Smith's patients don't usually wait for more than ten minutes.",
    "Two dogs run across a field of snow while a child in a red coat laughs.",
    "If the test fails again, look at the log first: the error is most likely in the last few lines.",
)

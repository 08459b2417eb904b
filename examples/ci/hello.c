/* Greets whoever the ticket is for. */
#include <stdio.h>

#ifndef WHO
#define WHO "world"
#endif

int main(void)
{
    printf("Hello, %s!\n", WHO);
    return 0;
}
